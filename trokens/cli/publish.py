"""Write a run's model as a folder for the Hugging Face hub: `trokens publish RUN`; with --upload, put it there."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from trokens.runtime.command import run_command


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Publish; the exit code is 2 for a problem that ends the command."""
    args = parse_args(argv, prog)
    return run_command(lambda: publish_run(args), "Interrupted. The same command writes it anew.")


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="OUTPUT_DIR of a run whose test has ended")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder to write into (RUN/published)")
    parser.add_argument("--upload", metavar="OWNER/NAME", help="upload it under this name, which is made where there "
                        "is none, with the token of hf auth login or HF_TOKEN")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="where the checkpoint that was tested lies, if "
                        "it was moved")
    parser.add_argument("--license", default="apache-2.0", help="of the trained weights, in the hub's spelling "
                        "(%(default)s)")
    args = parser.parse_args(argv)
    if args.upload is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", args.upload):
        parser.error(f"--upload is '{args.upload}'; give OWNER/NAME.")
    return args


def publish_run(args: argparse.Namespace) -> int:
    """Write the folder, and upload it where that was asked for."""
    from trokens.models.hub import can_upload, upload_model
    from trokens.report.publish import publish
    from trokens.report.run_folder import RunFolder

    run = RunFolder.read(args.run)
    if args.upload is not None and not can_upload():
        raise RuntimeError("There is no token of the Hugging Face hub to upload with; get one (hf auth login, or "
                           "HF_TOKEN), or leave --upload out.")
    folder = args.out or args.run / "published"
    publish(run, folder, name=args.upload or f"OWNER/{args.run.resolve().name}", license=args.license,
            checkpoint=args.checkpoint)
    print(f"The model is in {folder}; its card is {folder / 'README.md'}.")
    if args.upload is not None:
        print(f"It is at {upload_model(folder, args.upload)}.")
    return 0
