"""Which way up a decoded frame is shown."""

from __future__ import annotations

import av


def quarter_turns(frame: av.VideoFrame) -> int:
    """Counterclockwise quarter turns that bring a decoded frame upright."""
    return round(frame.rotation / 90) % 4
