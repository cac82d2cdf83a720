"""Options of `FewShotClassifier` that a command line checks too; light to import."""

from __future__ import annotations

METHODS = ("both", "motion", "looks")  # what is compared
UNKNOWN = "unknown"  # what a clip is called that shows none of the actions


def check_reject(reject: float | None) -> None:
    """Refuse a share of right answers that cannot be given up.

    Raises:
        ValueError: It is not in (0, 0.5].
    """
    if reject is not None and not 0 < reject <= 0.5:
        raise ValueError(f"reject is {reject:g}; it is a share of right answers that may be lost, above 0 and at most "
                         "0.5.")
