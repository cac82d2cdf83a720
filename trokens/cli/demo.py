"""See it work without clips of one's own: render some of Moving Shapes, keep one of each action as its example, and
predict the others.

    trokens demo --out demo --open

Writes ``OUT/examples/<action>/*.mp4`` and ``OUT/queries/<action>/*.mp4``, and what `trokens predict` writes into
``OUT/answers``. Rendered again, a clip is the same file.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from trokens.runtime.command import check_at_least, run_command

ACTIONS = ("circle_clockwise", "fall", "separate", "zoom_out")  # of those that no training of ours sees
NUM_EXAMPLES = 1  # of each action
SIZE, NUM_FRAMES = 160, 24  # pixels, and frames at 10 a second


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description="Render clips of a few actions, keep an example of each, "
                                     "and predict the others.")
    parser.add_argument("--out", type=Path, default=Path("trokens_demo"), help="folder to write into (%(default)s)")
    parser.add_argument("--clips", type=int, default=3, help=f"of each action, of which {NUM_EXAMPLES} is its example "
                        "(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what the clips look like (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes that look at clips (%(default)s)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    args = parser.parse_args(argv)
    check_at_least(parser, args, clips=NUM_EXAMPLES + 1, workers=0)
    return args


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Show it; the exit codes are those of `trokens predict`."""
    args = parse_args(argv, prog)
    return run_command(lambda: show(args), "Interrupted. The same command begins again.")


def show(args: argparse.Namespace) -> int:
    """Render, predict, and say where the page is."""
    from trokens.cli.predict import main as predict

    examples, queries, answers = (args.out / name for name in ("examples", "queries", "answers"))
    for action in ACTIONS:
        for number in range(args.clips):
            render(action, number, args.seed, (examples if number < NUM_EXAMPLES else queries) / action)
    print(f"{len(ACTIONS) * args.clips} clips of {len(ACTIONS)} actions are in {args.out}; what comes now is this "
          "command, which takes your own clips as well:")
    typed = ["--support", str(examples), "--query", str(queries), "--out", str(answers), "--workers", str(args.workers)]
    print(f"  trokens predict {shlex.join(typed)}", flush=True)
    code = predict(typed, "trokens predict")
    page = answers / "index.html"
    if page.is_file():
        print(f"Look at {page}.")
        if args.open:
            import webbrowser

            webbrowser.open(page.resolve().as_uri())
    return code


def render(action: str, number: int, seed: int, folder: Path) -> None:
    """Write a clip of an action to ``folder``."""
    from trokens.moving_shapes.render import render_clip, render_seed
    from trokens.video.write import write_video

    frames, _ = render_clip(action, seed=render_seed(seed, "demo", action, number), size=SIZE, num_frames=NUM_FRAMES)
    write_video(folder / f"{action}_{number}.mp4", frames)
