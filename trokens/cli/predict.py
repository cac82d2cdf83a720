"""Tell which action each clip shows, from a few examples of each action: nothing is trained.

    trokens predict --support examples --query new_clips
    trokens predict --support examples.csv --query long.mp4 'more/**/*.mp4' --window 2 --stride 1 --out answers

Writes ``OUT/predictions.csv``, ``OUT/predictions.jsonl``, and ``OUT/index.html`` to look at. The exit code is 1 where a
query could not be answered, 2 where none could.
"""

from __future__ import annotations

import argparse
import logging
import math
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trokens.cli.answer_table import Table
from trokens.recognize.options import METHODS, UNKNOWN, check_reject
from trokens.runtime.command import check_at_least, run_command

if TYPE_CHECKING:
    from trokens.recognize.answers import Answer, Prediction
    from trokens.recognize.classifier import FewShotClassifier
    from trokens.recognize.examples import Example
    from trokens.recognize.queries import Query

logger = logging.getLogger(__name__)

CSV, JSONL, PAGE = "predictions.csv", "predictions.jsonl", "index.html"


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("--support", type=Path, required=True, metavar="EXAMPLES", help="folder with one subfolder an "
                        "action (one clip each is enough), a CSV path,label, or what --save wrote")
    parser.add_argument("--query", nargs="+", required=True, metavar="CLIPS", help="what to answer: files, folders at "
                        "any depth, patterns in quotes, or a CSV path,label with the true actions")
    parser.add_argument("--out", type=Path, default=Path("trokens_answers"), help="folder to write into (%(default)s)")
    parser.add_argument("--method", choices=METHODS, help="what is compared (both)")
    parser.add_argument("--backbone", help="what looks are read with: dinov2_vitb14 or another DINOv2, or "
                        "timm:NAME[:STAGE]; by default DINOv2 where its weights are at hand, else EfficientNet-lite0")
    parser.add_argument("--checkpoint", metavar="FILE|RUN|hf:OWNER/NAME", help="compare what a trained model makes of "
                        "the clips: a checkpoint, the folder of a training, whose best one it is, a published folder, "
                        "or a model of the Hugging Face hub")
    parser.add_argument("--workers", type=int, help="processes that look at clips, by default one a core; 0 works in "
                        "this one, which a crashing decoder ends")
    parser.add_argument("--window", type=float, metavar="SECONDS", help="answer long videos piece by piece, each so "
                        "long; neighbors of one action are joined")
    parser.add_argument("--stride", type=float, metavar="SECONDS", help="from the start of a piece to that of the next "
                        "(half of --window)")
    parser.add_argument("--reject", type=float, metavar="SHARE", help="call a clip unknown that is too far from all "
                        "actions, at the price of about this share of right answers, such as 0.05; it takes two "
                        "examples of each")
    parser.add_argument("--cache", metavar="FOLDER", help="where what is computed of a clip is kept, by the file's "
                        "content (~/.cache/trokens/clips); '' keeps nothing")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep the examples as --support takes them too, "
                        "without their clips")
    args = parser.parse_args(argv)
    _check(parser, args)
    return args


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the command where its options do not go together."""
    if args.workers is not None:
        check_at_least(parser, args, workers=0)
    if args.stride is not None and args.window is None:
        parser.error("--stride belongs to --window; give that too.")
    if args.stride is None and args.window is not None:
        args.stride = args.window / 2
    for flag in ("window", "stride"):
        value = getattr(args, flag)
        if value is not None and not 0 < value < math.inf:
            parser.error(f"--{flag} is {value:g}; it must be a number of seconds above 0.")
    if args.window is not None and args.stride > args.window:
        parser.error(f"--stride is {args.stride:g}, longer than --window {args.window:g}: nobody would look at what "
                     "lies between.")
    try:
        check_reject(args.reject)
    except ValueError as error:
        parser.error(f"--{error}")
    for flag in ("method", "backbone", "window"):
        if args.checkpoint is not None and getattr(args, flag) is not None:
            parser.error(f"--{flag} belongs to the descriptor, and --checkpoint compares a trained model's tokens of "
                         "whole clips; leave one of them out.")


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Answer; the exit code is 1 when a query had no answer, 2 for a problem before any, 130 when interrupted."""
    args = parse_args(argv, prog)
    command = f"{prog or 'trokens predict'} {shlex.join(sys.argv[1:] if argv is None else argv)}"
    return run_command(lambda: predict(args, command), "Interrupted. The same command goes on from here.")


def predict(args: argparse.Namespace, command: str) -> int:
    """Find the examples and the clips, answer, write, and say how many."""
    from trokens.cli.support import build_classifier, cache_folder
    from trokens.recognize.describe import sensible_workers
    from trokens.recognize.queries import find_queries
    from trokens.recognize.saved import TEXT
    from trokens.runtime.files import check_writable

    with cache_folder(args.cache) as cache:
        classifier, examples = build_classifier(args, cache)
        actions = list(dict.fromkeys([example.label for example in examples or classifier.examples_]))
        actions += [UNKNOWN] if classifier.reject is not None else []
        queries = find_queries(args.query, actions)
        if all(query.error for query in queries):
            raise FileNotFoundError(f"--query names no clip: {' '.join(query.error for query in queries[:5])}"
                                    + f" (and {len(queries) - 5} more)" * (len(queries) > 5))
        made = not args.out.exists()
        for name in (CSV, JSONL, PAGE):
            check_writable(args.out / name)
        if args.save is not None:
            check_writable(args.save / TEXT)
        if args.workers is None and len(queries) > 1:  # a decoder that crashes must not end the others
            classifier.set_params(workers=sensible_workers(len(queries)))
        known, named = len(examples or classifier.examples_), len(actions) - (classifier.reject is not None)
        logger.info("%d example%s of %d action%s; clips to answer: %d.", known, "s" * (known != 1), named,
                    "s" * (named != 1), sum(not query.error for query in queries))
        try:
            predictions = answer_all(args, classifier, examples, queries, actions)
        except BaseException:
            with suppress(OSError):
                if made:
                    args.out.rmdir()  # unless there are answers in it
            raise
        write_answers(args.out, predictions)
        from trokens.report.page import write_page

        write_page(args.out / PAGE, classifier, predictions, command=command)
    print(summary(predictions, classifier, args.out))
    return int(any(prediction.error for prediction in predictions))


def answer_all(args: argparse.Namespace, classifier: FewShotClassifier, examples: Sequence[Example],
               queries: Sequence[Query], actions: Sequence) -> list[Prediction]:
    """Answer the queries, each with a line as it is done; a stop writes those that were, and ends the command.

    Returns:
        What is said of each query, in their order.
    """
    from trokens.recognize.answers import Answer, Prediction

    found: dict[str, Prediction] = {}
    true = {query.path: query.true_action for query in queries if not query.error}
    try:
        stream = answers(args, classifier, examples, list(true))
        table = Table([query.path for query in queries], actions, args.window is not None)
        for query in queries:
            if query.error:
                found[query.path] = Prediction(query.path, (Answer(query.path, error=query.error),), query.true_action)
                table.show(found[query.path], ())
        for path, pieces, new in stream:
            found[path] = Prediction(path, tuple(pieces), true[path], args.window is not None)
            table.show(found[path], new)
    except BaseException as stop:
        some = [found[query.path] for query in queries if query.path in found]
        if any(prediction.error is None for prediction in some):
            write_answers(args.out, some)
            if not isinstance(stop, BrokenPipeError):  # of output that nobody reads, which is no trouble
                logger.warning("%d of %d clips were done; they are in %s and %s.", len(some), len(queries),
                               args.out / CSV, args.out / JSONL)
        raise
    return [found[query.path] for query in queries]


def answers(args: argparse.Namespace, classifier: FewShotClassifier, examples: Sequence[Example],
            paths: Sequence[str]) -> Iterator[tuple[str, Sequence[Answer], Sequence[Answer]]]:
    """Fit, now, and answer: a path, all pieces of it so far, and those of them that are new."""
    from trokens.cli.support import save_for_later
    from trokens.recognize.windows import answer_pieces

    pairs = [example.path for example in examples], [example.label for example in examples]
    if args.window is None and examples:
        stream = classifier.fit_and_answer(*pairs, paths)
    elif args.window is None:
        stream = classifier.answers(paths)
    else:
        if examples:
            classifier.fit(*pairs)
        pieces = answer_pieces(classifier, paths, args.window, args.stride, classifier.workers or 0)
    if args.save is not None:
        save_for_later(classifier, args)
    return pieces if args.window is not None else ((answer.path, [answer], [answer]) for answer in stream)


def write_answers(out: Path, predictions: Sequence[Prediction]) -> None:
    """Write both lists, each whole; the page of an earlier run, which would say something else, goes."""
    from trokens.recognize.answers import csv_rows, jsonl_lines
    from trokens.runtime.files import write_csv, write_text

    with suppress(FileNotFoundError):
        (out / PAGE).unlink()
    write_csv(out / CSV, csv_rows(predictions))
    write_text(out / JSONL, "".join(jsonl_lines(predictions)))


def summary(predictions: Sequence[Prediction], classifier: FewShotClassifier, out: Path) -> str:
    """How many are answered, how many rightly, and where all that is."""
    from trokens.recognize.queries import examples_among

    answered = [prediction for prediction in predictions if prediction.error is None]
    verdicts = [verdict for prediction in answered for piece in prediction.pieces
                if (verdict := prediction.right(piece)) is not None]
    what = " pieces" * any(prediction.windowed for prediction in answered)
    parts = [f"{len(answered)} of {len(predictions)} clips answered"]
    if verdicts:
        parts.append(f"{sum(verdicts)} of {len(verdicts)}{what} right ({100 * sum(verdicts) / len(verdicts):.1f} %)")
        if same := examples_among([prediction.path for prediction in answered], classifier.examples_):
            parts.append(f"examples among them: {same}, which says nothing")
    return f"{'; '.join(parts)}. {PAGE}, {CSV} and {JSONL} are in {out}."
