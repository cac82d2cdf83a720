"""Videos that tests make, and what is in them."""

import csv
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

NUM_FRAMES, FPS, GROUP = 60, 25, 12
X264 = f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:bframes=3"


def encode(path: Path, codec: str = "libx264", container_options: dict[str, str] | None = None, **options: str) -> Path:
    """A texture that slides to the left by two pixels a frame."""
    texture = np.random.default_rng(0).integers(0, 255, (64, 96 + 2 * NUM_FRAMES, 3), dtype=np.uint8)
    with av.open(str(path), "w", container_options=container_options) as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.gop_size = 96, 64, GROUP
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for i in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture[:, 2 * i:2 * i + 96]), format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_frames(path: Path, stamps: Iterable[int], codec: str = "libx264", shape: tuple[int, int] = (64, 96),
                 **options: str) -> Path:
    """Gray frames that grow lighter, shown at these milliseconds, as far as the container can tell time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {"x264-params": "bframes=0"})
        (stream.height, stream.width), stream.pix_fmt = shape, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((*shape, 3), 3 * i % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut_copied(source: Path, target: Path, start: int) -> Path:
    """Cut the first ``start`` frames as `ffmpeg -ss -c copy` does: packets from the key frame before stay in the file,
    and an edit list leaves them out."""
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        video, stream = read.streams.video[0], None
        stream = write.add_stream_from_template(video)
        packets = [packet for packet in read.demux(video) if packet.size]
        begin = sorted(packet.pts for packet in packets)[start]
        first = max(i for i, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= begin)
        for packet in packets[first:]:
            packet.pts, packet.dts, packet.stream = packet.pts - begin, packet.dts - begin, stream
            write.mux(packet)
    return target


def with_sound(source: Path, target: Path, seconds: float) -> Path:
    """The same video beside a sound of another length."""
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        sound = write.add_stream("libmp3lame" if target.suffix in (".avi", ".flv") else "aac", rate=44100)
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                write.mux(packet)
        for start in range(0, int(seconds * 44100), 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 44100, start
            write.mux(sound.encode(frame))
        write.mux(sound.encode())
    return target


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


def texture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Smooth random RGB, (height, width, 3) uint8."""
    noise = torch.rand(1, 3, height // 4 + 1, width // 4 + 1, generator=torch.Generator().manual_seed(seed))
    image = torch.nn.functional.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
    return (image[0].permute(1, 2, 0).clamp(0, 1) * 255).to(torch.uint8)


def panned(num_frames: int = 8, height: int = 64, width: int = 80, step: tuple[int, int] = (3, -2)) -> torch.Tensor:
    """A texture moved by whole pixels (x, y) a frame."""
    image = texture(height, width)
    return torch.stack([image.roll((t * step[1], t * step[0]), (0, 1)) for t in range(num_frames)])
