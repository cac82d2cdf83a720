"""One folder of point files, one way of making them: its settings lie beside the files, and others are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trokens.extraction.jobs import Job
from trokens.points import POINT_SUFFIXES
from trokens.runtime.files import remove_unfinished, write_text

SETTINGS = "extraction.json"


def compare_settings(out: Path, settings: dict[str, Any], jobs: Sequence[Job], *, rerun: bool = False) -> None:
    """Refuse to mix points of two kinds.

    Args:
        out: Folder of the point files.
        settings: Of this extraction.
        jobs: The whole list of videos.
        rerun: Other points may be replaced, if the list covers them all.

    Raises:
        ValueError: The folder was filled with other settings.
    """
    there, here = _read(out), json.loads(json.dumps(settings))
    if there is None or there == here:
        return
    parts = ", ".join(f"{key} is {there.get(key)!r} there and {here.get(key)!r} here" for key in there | here
                      if there.get(key) != here.get(key))
    names = {job.points.with_suffix("") for job in jobs}
    others = [path for path in _points(out) if path.with_suffix("") not in names]
    if not rerun:
        raise ValueError(f"{out} holds points of another extraction ({parts}); give another --name, or --rerun to "
                         "extract all again.")
    if others:
        raise ValueError(f"{out} holds points of another extraction ({parts}), {len(others)} of them of videos that "
                         f"are not in this list (first: {others[0].stem}); give another --name, or all videos.")


def keep_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write the settings down; points of other ones, which `compare_settings` let pass, are removed first.

    Of several processes that start together the first one does it; the others find the settings there.
    """
    remove_unfinished([out / SETTINGS])
    before, text = _read(out), json.dumps(settings, indent=1, sort_keys=True) + "\n"
    if before == json.loads(text):
        return
    for path in _points(out) if before is not None else ():
        path.unlink(missing_ok=True)
    write_text(out / SETTINGS, text)


def _read(out: Path) -> dict[str, Any] | None:
    path = out / SETTINGS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _points(out: Path) -> list[Path]:
    """All point files, of any dataset and format."""
    return sorted(path for suffix in POINT_SUFFIXES for path in out.glob(f"*/feat_dump/*{suffix}"))
