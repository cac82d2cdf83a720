"""A fitted classifier in a folder: plain text and plain numbers."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from trokens.recognize.calibrate import Calibration
from trokens.recognize.description import Description
from trokens.recognize.examples import Example
from trokens.recognize.looks import choose_backbone
from trokens.runtime.files import whole_file, write_text

if TYPE_CHECKING:
    from trokens.recognize.classifier import FewShotClassifier

SCHEMA = 1
TEXT, NUMBERS = "classifier.json", "examples.safetensors"
CHANGES = ("cache", "workers")  # options that belong to the one who loads


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a saved classifier."""
    return (folder / TEXT).is_file()


def save(classifier: FewShotClassifier, folder: Path) -> None:
    """Write both files: the numbers first, so that a text never speaks of numbers that are not there."""
    options = {name: os.fspath(value) if isinstance(value, os.PathLike) else value
               for name, value in classifier.get_params().items()}
    text = {
        "schema": SCHEMA, "options": options, "calibration": classifier.calibration_._asdict(),
        "limits": None if classifier.limits_ is None else classifier.limits_.tolist(),
        "backbone": None if classifier.backbone_ is None else classifier.backbone_.name,
        "examples": [{"path": example.path, "label": _plain(example.label), "key": example.key}
                     for example in classifier.examples_]}
    written = json.dumps(text, indent=1, sort_keys=True) + "\n"  # what cannot be written is said before any file is
    with whole_file(folder / NUMBERS) as unfinished:
        save_file({f"{number:05}.{name}": value for number, description in enumerate(classifier.descriptions_)
                   for name, value in description.arrays().items()}, unfinished)
    write_text(folder / TEXT, written)


def load(cls: type[FewShotClassifier], folder: Path, changes: dict[str, Any]) -> FewShotClassifier:
    """Read both files.

    Raises:
        FileNotFoundError: There is no saved classifier.
        ValueError: It is broken, of a newer schema, or a change is of an option that belongs to what was kept.
    """
    if unknown := changes.keys() - set(CHANGES):
        raise ValueError(f"Option '{min(unknown)}' belongs to the saved classifier: only {' and '.join(CHANGES)} can "
                         "be changed when it is loaded; fit a new one.")
    if not is_saved(folder):
        raise FileNotFoundError(f"'{folder}' holds no saved classifier: there is no {TEXT}.")
    try:
        text = json.loads((folder / TEXT).read_text(encoding="utf-8"))
        if text["schema"] > SCHEMA:
            raise ValueError(f"its schema is {text['schema']}, and this version reads up to {SCHEMA}; update Trokens")
        classifier = cls(**text["options"]).set_params(**changes)
        examples = [Example(**example) for example in text["examples"]]
        arrays = load_file(folder / NUMBERS)
        descriptions = [_description(arrays, number) for number in range(len(examples))]
        calibration = Calibration(**text["calibration"])
        limits = None if text["limits"] is None else np.array(text["limits"])
        backbone = None if text["backbone"] is None else choose_backbone(text["backbone"])
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"'{folder}' cannot be read as a saved classifier: {str(error).rstrip('.')}.") from error
    classifier.classes_, classifier.action_ = np.unique([example.label for example in examples], return_inverse=True)
    classifier.examples_, classifier.descriptions_ = examples, descriptions
    classifier.calibration_, classifier.limits_, classifier.backbone_ = calibration, limits, backbone
    return classifier


def _description(arrays: dict[str, np.ndarray], number: int) -> Description:
    prefix = f"{number:05}."
    names = [field.name for field in fields(Description)]
    return Description(**{name: arrays[prefix + name] for name in names if prefix + name in arrays})


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label
