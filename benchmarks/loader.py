"""Reading training clips: the published order done plainly, ours, and from the clip cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.timing import Figure, Setting, figure, in_turns, speedup
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.points.geometry import frame_positions, normalize_tracks
from trokens.points.hod import hod
from trokens.points.io import read_tracks, write_tracks
from trokens.points.sampling import choose_points, text_seed
from trokens.structures import Clips, Tracks
from trokens.video import probe, read_video
from trokens.video.frame_cache import FORMATS, ClipCache
from trokens.video.transforms import PhotometricAugment, resize
from trokens.video.write import write_video

AUGMENT = PhotometricAugment("rand-m9-n2-mstd0.5-inc1")
FRAMES, SIZE, POINTS = 8, 224, 256
SAMPLING = "cluster_sample"
POSITIONS_A_SECOND, POINTS_A_FILE, CLUSTERS = 10, 400, 20
KEYS = 8  # readings of a clip a turn, each with operations of its own


# The direct way ------------------------------------------------------------------------------------------------------

OPERATIONS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Equalize": lambda image, _: ImageOps.equalize(image),
    "Invert": lambda image, _: ImageOps.invert(image),
    "Posterize": lambda image, level: ImageOps.posterize(image, 4 - int(4 * level)),
    "Solarize": lambda image, level: ImageOps.solarize(image, 256 - int(256 * level)),
    "SolarizeAdd": lambda image, level: image.point([v + int(110 * level) * (v < 128) for v in range(256)] * 3),
}


def operate(image: Image.Image, name: str, level: float, sign: int) -> Image.Image:
    """Do one of the augmentation's operations by PIL."""
    if name in OPERATIONS:
        return OPERATIONS[name](image, level)
    return getattr(ImageEnhance, name)(image).enhance(max(0.1, 1 + sign * 0.9 * level))


def decode_plainly(path: Path, numbers: list[int], *, lean: bool) -> list[Image.Image]:
    """Decode every frame up to the last of ``numbers``, ascending, and return those as images.

    ``lean`` makes images of these frames only, else of every decoded one.
    """
    images = []
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for number, frame in zip(range(numbers[-1] + 1), container.decode(stream), strict=False):
            images.append(frame.to_image() if not lean or number in numbers else None)
    return [images[number] for number in numbers]


def read_plainly(reader: ClipReader, numbers: list[int], key: int, *, lean: bool) -> Clips:
    """Read the reader's first clip in the published order: image by image, augmented at full size, then resized."""
    draws = torch.Generator().manual_seed(text_seed(str(key)) % 2**63)
    images = decode_plainly(reader.clips[0].video, numbers, lean=lean)
    for name, level, sign in AUGMENT.draw(draws):
        images = [operate(image, name, level, sign) for image in images]
    small = [np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for image in images]
    video = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous()
    return replace(reader.read(0, with_video=False, key=str(key)), video=video[None])


# What is read --------------------------------------------------------------------------------------------------------

def frame_numbers(clip: Clip) -> list[int]:
    """The video's frames that a clip shows."""
    count = read_tracks(clip.tracks).num_positions
    return frame_positions(probe(clip.video).num_frames, count)[frame_positions(count, FRAMES)].tolist()


def make_clip(video: Path, folder: Path) -> Clip:
    """A clip whose point file has random tracks, as many as an extraction gives."""
    info, generator = probe(video), torch.Generator().manual_seed(0)
    count = max(FRAMES, round(info.num_frames / info.fps * POSITIONS_A_SECOND))
    shape = count, POINTS_A_FILE
    tracks = Tracks(torch.rand(*shape, 2, generator=generator) * info.size[0],
                    torch.rand(shape, generator=generator) < 0.8,
                    torch.randint(count, shape[1:], generator=generator),
                    torch.randint(CLUSTERS, shape[1:], generator=generator), info.size)
    points = folder / f"{video.name}.safetensors"
    write_tracks(points, tracks)
    return Clip(video.name, video, points, class_id=0, class_name="")


def render_videos(folder: Path, *, small: bool) -> list[Path]:
    """Videos of 340 x 256 at 30 frames a second in which a texture slides, with few and with many key frames."""
    seconds, groups = (3, [48]) if small else (10, [12, 48, 250])
    generator = np.random.default_rng(0)
    texture = cv2.resize(generator.integers(256, size=(90, 160, 3), dtype=np.uint8), (960, 540),
                         interpolation=cv2.INTER_CUBIC)
    frames = np.stack([texture[i % 250:, 2 * i % 600:][:256, :340] for i in range(30 * seconds)])
    frames = (frames.astype(np.int16) + generator.integers(-6, 7, frames.shape, dtype=np.int8)).clip(0, 255)
    videos = [folder / f"groups_of_{group}.mp4" for group in groups]
    for video, group in zip(videos, groups, strict=True):
        write_video(video, frames.astype(np.uint8), fps=30, crf=23, group=group)
    return videos


# The figures ---------------------------------------------------------------------------------------------------------

def measure(setting: Setting) -> list[Figure]:
    """Clips a second of every way to read, how much faster that is than the direct ones, and each stage's cost."""
    setting = replace(setting, device=torch.device("cpu"))  # where clips are read
    cv2.setNumThreads(1)
    figures = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        for video in [Path(video) for video in setting.videos] or render_videos(folder, small=setting.small):
            clip = make_clip(video, folder)
            direct, ours = ways_to_read(clip, folder)
            seconds = seconds_a_clip(direct | ours, setting)
            figures += [figure(f"loader/{clip.id}/{name}", [1 / s for s in times], "clips/s")
                        for name, times in seconds.items()]
            figures += [speedup(f"loader/{clip.id}/{name} over {way}", seconds[way], seconds[name])
                        for way in direct for name in ours]
            figures += [figure(f"loader/{clip.id}/{name}", times, "ms", factor=1e3)
                        for name, times in seconds_a_clip(stages(clip), setting).items()]
    return figures


def ways_to_read(clip: Clip, folder: Path) -> tuple[dict[str, Callable], dict[str, Callable]]:
    """The direct ways, then ours; each takes the key of a training clip."""
    published = ClipReader([clip], FRAMES, SIZE, POINTS, SAMPLING, augment=AUGMENT)
    first = replace(published, resize_first=True)
    readers = {"published": published, "resize_first": first} | {
        f"cache_{form}": replace(first, cache=ClipCache(folder / form, format=form, max_bytes=1e9)) for form in FORMATS}
    plainly = partial(read_plainly, published, frame_numbers(clip))
    return ({"plain": partial(plainly, lean=False), "lean": partial(plainly, lean=True)},
            {name: lambda key, reader=reader: reader.read(0, with_video=True, key=str(key))
             for name, reader in readers.items()})


def stages(clip: Clip) -> dict[str, Callable]:
    """What reading consists of, each taking a key."""
    numbers, tracks = frame_numbers(clip), read_tracks(clip.tracks)
    positions = frame_positions(tracks.num_positions, FRAMES)
    frames = read_video(clip.video, numbers)
    small = resize(frames, SIZE)

    def draws(key: int) -> torch.Generator:
        return torch.Generator().manual_seed(key)

    def choose(key: int) -> torch.Tensor:
        return choose_points(tracks, POINTS, method=SAMPLING, generator=draws(key))

    chosen = choose(0)
    xy = normalize_tracks(tracks.xy[positions[:, None], chosen], tracks.size)[None]
    return {
        "decode": lambda _: read_video(clip.video, numbers),
        "augment full size": lambda key: AUGMENT(frames, draws(key)),
        "augment resized": lambda key: AUGMENT(small, draws(key)),
        "resize": lambda _: resize(frames, SIZE),
        "read points": lambda _: read_tracks(clip.tracks),
        "choose points": choose,
        "HoD and masks": lambda _: (hod(xy.transpose(1, 2)), tracks.visibility[positions[:, None], chosen],
                                    positions[:, None] >= tracks.query_frame[chosen]),
    }


def seconds_a_clip(ways: dict[str, Callable], setting: Setting) -> dict[str, list[float]]:
    """Seconds a clip of each way, which takes a key."""
    keys = range(KEYS // 2 if setting.small else KEYS)
    seconds = in_turns({name: lambda way=way: [way(key) for key in keys] for name, way in ways.items()}, setting)
    return {name: [s / len(keys) for s in times] for name, times in seconds.items()}
