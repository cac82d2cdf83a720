"""A run as a folder for the Hugging Face hub: weights, config, and a card with what was measured of these weights."""

from __future__ import annotations

from pathlib import Path

from trokens.config import dump, without_machine
from trokens.models.checkpoint import checkpoint_dir, load_checkpoint
from trokens.models.pretrained import kept_cfg
from trokens.models.published import write_published
from trokens.report.card import build_card
from trokens.report.run_folder import RunFolder
from trokens.runtime.files import write_text


def publish(run: RunFolder, folder: Path, *, name: str, license: str, checkpoint: Path | None = None) -> None:
    """Write a run's tested weights, ready for the hub.

    Args:
        run: A finished run.
        folder: To write into.
        name: "owner/name" on the hub, for the card.
        license: Of the weights, in the hub's spelling, such as "apache-2.0".
        checkpoint: Where the tested one lies now, if it is not where the run left it.

    Raises:
        FileNotFoundError: The checkpoint that was tested is not there.
        ValueError: ``checkpoint`` is another one than was tested, or the checkpoint does not keep its config.
        WriteError: The disk does not take a file.
    """
    path = tested_checkpoint(run, checkpoint)
    state = load_checkpoint(path)
    cfg = kept_cfg(path, state)
    given = cfg.MODEL.BACKBONE_WEIGHTS
    has_file = given != "" and not given.startswith("package:") and not cfg.MODEL.APPEARANCE_MODULE_DISABLE
    cfg = without_machine(cfg)
    write_published(folder, dump(cfg), state, Path(given) if has_file else None)
    card = build_card(run.results, cfg, state, name=name, license=license, own_backbone=has_file)
    write_text(folder / "README.md", card)


def tested_checkpoint(run: RunFolder, given: Path | None) -> Path:
    """The file whose weights the results are of; errors are those of :func:`publish`."""
    tested = Path(str(run.results.get("checkpoint", "")))
    if not tested.suffix:  # the initial weights
        raise FileNotFoundError(f"{run.path} was tested without a checkpoint ({tested}); train it, and test that.")
    if given is not None:
        if given.name != tested.name:
            raise ValueError(f"{run.path}/results.json is of {tested.name}, not of {given}; test that one first "
                             f"(trokens test --cfg {run.path}/config.yaml TEST.CHECKPOINT_FILE_PATH {given}).")
        return given
    for path in (checkpoint_dir(run.path) / tested.name, tested):
        if path.is_file():
            return path
    raise FileNotFoundError(f"The checkpoint that {run.path} was tested with is not at {tested}; say where it is now "
                            "(--checkpoint).")
