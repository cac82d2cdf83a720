"""Videos that tests make, and what is in them."""

import csv
from pathlib import Path

import av
import numpy as np

NUM_FRAMES, FPS, GROUP = 60, 25, 12
X264 = f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:bframes=3"


def encode(path: Path, codec: str = "libx264", **options: str) -> Path:
    """A texture that slides to the left by two pixels a frame."""
    texture = np.random.default_rng(0).integers(0, 255, (64, 96 + 2 * NUM_FRAMES, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", GROUP
        for i in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture[:, 2 * i:2 * i + 96]), format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_stream(source: Path, target: Path, first: int, last: int) -> Path:
    """Cut packets out of a file without encoding them again."""
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        packets = [packet for packet in read.demux(video=0) if packet.size][first:last]
        start = packets[0].dts
        for packet in packets:
            packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, stream
            write.mux(packet)
    return target


def decode_all(path: Path, wanted: set[int] | None = None) -> list[np.ndarray | None]:
    """Every frame (or the wanted ones, else None) in the decoder's own order, independently of the module."""
    frames = []
    with av.open(str(path), metadata_errors="ignore") as container:
        for packet in container.demux(video=0):
            try:
                decoded = packet.decode()
            except av.error.InvalidDataError:
                assert not frames or packet.is_corrupt
                continue
            for frame in decoded:
                skipped = wanted is not None and len(frames) not in wanted
                frames.append(None if skipped else np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
    return frames


def table(folder: Path) -> list[dict[str, str]]:
    """What a full decode of each of the real files found."""
    with open(folder / "probe.csv", newline="") as file:
        return list(csv.DictReader(file))
