"""How the chosen points of a clip are spread over its semantic clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trokens.clips.reader import ClipReader
from trokens.report.run_folder import RunFolder

MOST = 48  # clips that are asked, evenly among all


@dataclass(frozen=True)
class Spread:
    """Means over clips.

    Attributes:
        clips: How many were asked.
        tested: Of how many.
        chosen: Points chosen of a clip.
        points: How many of them lie in the largest cluster, in the second largest, and so on.
        all_points: The same for all points of the file, scaled to as many.
    """

    clips: int
    tested: int
    chosen: int
    points: Sequence[float]
    all_points: Sequence[float]


def spread_over_clusters(run: RunFolder) -> Spread | str:
    """Of the tested clips, or one line that says why nobody can say."""
    try:
        reader = ClipReader.from_config(run.cfg, run.clips, augment=False)
        rows = np.unique(np.linspace(0, len(run.clips) - 1, MOST).round().astype(int))
        counts = [_counts(*reader.chosen_points(row)) for row in rows.tolist()]
    except (OSError, ValueError) as error:
        return str(error)
    most = max(len(one) for one, _ in counts)
    means = [np.mean([np.pad(pair[which], (0, most - len(pair[which]))) for pair in counts], 0).tolist()
             for which in (0, 1)]
    return Spread(len(counts), len(run.clips), reader.num_points, *means)


def _counts(tracks, chosen) -> tuple[np.ndarray, np.ndarray]:
    clusters, among = tracks.cluster.numpy(), tracks.cluster[chosen].numpy()
    whole = np.unique(clusters, return_counts=True)[1]
    own = np.unique(among, return_counts=True)[1]
    own = np.pad(own, (0, len(whole) - len(own)))
    return np.sort(own)[::-1], np.sort(whole)[::-1] * len(among) / len(clusters)
