"""What `trokens predict` compares clips with: examples, or what was saved of them; and where descriptions are kept."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from tempfile import TemporaryDirectory

from trokens.models.pretrained import find_pretrained
from trokens.recognize.cache import default_folder
from trokens.recognize.classifier import FewShotClassifier
from trokens.recognize.examples import Example, read_examples
from trokens.recognize.saved import is_saved
from trokens.runtime.files import writing

logger = logging.getLogger(__name__)

_OF_CLASSIFIER = ("method", "backbone", "checkpoint", "reject")  # options that belong to a saved one


@contextmanager
def cache_folder(given: str | None) -> Iterator[str | None]:
    """The folder that descriptions are kept in; one for this command alone where none is wanted or can be made."""
    if given:
        with writing(given):
            os.makedirs(given, exist_ok=True)
        yield given
        return
    if given is None:
        try:
            default_folder().mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError) as error:  # the latter where there is no home
            logger.warning("Nothing is kept for the next time, as --cache FOLDER would: %s.",
                           getattr(error, "strerror", None) or error)
        else:
            yield None
            return
    with TemporaryDirectory(prefix="trokens_") as folder:
        yield folder


def build_classifier(args: argparse.Namespace, cache: str | None) -> tuple[FewShotClassifier, list[Example]]:
    """The classifier, and the examples that it is yet to be fitted to; none for a saved one.

    Raises:
        FileNotFoundError, ValueError: There are none, or what there is cannot be read.
    """
    options = {name: getattr(args, name) for name in _OF_CLASSIFIER if getattr(args, name) is not None}
    if is_saved(args.support):
        if options:
            raise ValueError(f"--{next(iter(options))} belongs to what '{args.support}' was saved with; leave it out, "
                             "or give the examples themselves.")
        classifier = FewShotClassifier.load(args.support, cache=cache, workers=args.workers)
        if classifier.checkpoint is not None and args.window is not None:
            raise ValueError(f"'{args.support}' was saved with a checkpoint, which answers whole clips alone; leave "
                             "--window out.")
        return classifier, []
    if "checkpoint" in options:
        options["checkpoint"] = str(find_pretrained(options["checkpoint"]))
    return FewShotClassifier(**options, cache=cache, workers=args.workers), read_examples(args.support)


def save_for_later(classifier: FewShotClassifier, args: argparse.Namespace) -> None:
    """Save a fitted classifier as one that may be loaded in any folder."""
    saved = copy(classifier).set_params(cache=args.cache, workers=0)
    if saved.checkpoint is not None:
        saved.checkpoint = os.path.abspath(saved.checkpoint)
    saved.examples_ = [example._replace(path=os.path.abspath(example.path)) for example in saved.examples_]
    saved.save(args.save)
