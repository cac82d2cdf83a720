"""Clips with true tracks: from files, from TAP-Vid's pickles, rendered."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import points_dir

from trokens.data.ground_truth import find_clips, load_truth, rendered_clips
from trokens.data.synthetic import SPLITS, clip_seed, render_clip
from trokens.points.io import read_tracks
from trokens.points.tapvid import query_points


def tapvid_record(seed: int = 0, size: tuple[int, int] = (40, 60)) -> dict:
    """6 frames and 3 tracks, the last never visible."""
    rng = np.random.default_rng(seed)
    occluded = np.array([[0, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 1], [1] * 6], bool)
    return {"video": rng.integers(0, 255, (6, *size, 3), np.uint8), "points": rng.random((3, 6, 2), np.float32),
            "occluded": occluded}


def dump(path: Path, content, protocol: int = 4) -> str:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return str(path)


def test_the_tracks_of_rendered_files_are_found_from_any_pattern(tiny_data):
    clips = find_clips(str(tiny_data), "strided")
    assert len(clips) == 48 and clips[0].name == f"test/{sorted(SPLITS['test'][:5])[0]}/0"
    name = SPLITS["val"][0]
    (clip,) = find_clips(f"{tiny_data}/val/{name}/1.*", "first")
    frames, truth = clip.load()
    assert clip.name == "1" and frames.shape == (12, 64, 64, 3)
    expected = read_tracks(points_dir(tiny_data) / f"val__{name}__1.safetensors")
    assert torch.equal(truth.xy, expected.xy) and torch.equal(truth.cluster, expected.cluster)


def test_hidden_files_are_passed_over_and_links_followed(tmp_path):
    for path in ("data/a/z.mp4", "data/a/._z.mp4", "data/.cache/z.mp4", "elsewhere/y.webm"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere")
    for source in (tmp_path / "data", tmp_path / "data/*/*", tmp_path / "data/**/*"):
        assert [clip.name for clip in find_clips(str(source), "strided")] == ["a/z", "linked/y"]
    assert [clip.name for clip in find_clips(str(tmp_path / "data/a/z.mp4"), "strided")] == ["z"]


def test_tracks_beside_a_video_are_read_with_their_own_queries(tiny_data, tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(next(tiny_data.glob("val/*/0.mp4")).read_bytes())
    draw = np.random.default_rng(0)
    content = {"query_points": np.array([[3, 5.5, 6.25], [0, 60, 1]], np.float32),
               "tracks": draw.random((12, 2, 2), np.float32) * 60, "visibility": draw.random((12, 2)) > 0.5}
    np.savez(tmp_path / "a.npz", **content)
    frames, truth = load_truth(video)
    assert torch.equal(query_points(truth), torch.from_numpy(content["query_points"]))
    others = torch.ones(12, 2).bool()
    others[truth.query_frame, torch.arange(2)] = False
    assert torch.equal(truth.xy[others], torch.from_numpy(content["tracks"])[others])
    assert truth.size == (64, 64) and len(frames) == 12 and truth.cluster.tolist() == [0, 0]
    np.savez(tmp_path / "a.npz", **content, layer=np.array([4, 2], np.int16))
    assert load_truth(video)[1].cluster.tolist() == [4, 2]
    np.savez(tmp_path / "a.npz", tracks=content["tracks"])
    with pytest.raises(ValueError, match=r"a\.npz has no sound query_points.*'query_points'"):
        load_truth(video)
    (tmp_path / "a.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"No true tracks for '.*a\.mp4': neither a\.npz"):
        load_truth(video)


def test_rendered_clips_are_those_of_the_data_set_evenly_spread_over_motions():
    names = [clip.name for clip in rendered_clips("hard", 68)]
    assert sorted(names) == sorted(f"{split}/{motion}/{i:03d}" for split in SPLITS for motion in SPLITS[split]
                                   for i in range(2))
    few = [clip.name for clip in rendered_clips("hard", 5)]
    assert len(set(few)) == 5 and {name.split("/")[0] for name in few} == set(SPLITS)
    frames, truth = rendered_clips("hard", 68)[1].load()
    motion = SPLITS["train"][0]
    expected, tracks = render_clip(motion, seed=clip_seed(0, "train", motion, 1), level="hard")
    assert np.array_equal(frames.numpy(), expected) and torch.equal(truth.xy, tracks.xy)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("mode", ["strided", "first"])
def test_pickles_of_tapvid_are_read_on_their_raster(tmp_path, protocol, mode):
    record = tapvid_record()
    for content, names in (({"goat": record, "bmx": tapvid_record(1)}, ["goat", "bmx"]), ([record], ["0"])):
        clips = find_clips(dump(tmp_path / "davis.pkl", content, protocol), mode)
        assert [clip.name for clip in clips] == names
        frames, truth = clips[0].load()
        assert frames.shape == (6, 256, 256, 3) and frames.dtype == torch.uint8 and truth.size == (256, 256)
        # first: frame 0 of track 0 and frame 2 of track 1; strided by 5: track 0 in the frames 0 and 5
        assert truth.query_frame.tolist() == ([0, 2] if mode == "first" else [0, 5])
        track = [0, 1] if mode == "first" else [0, 0]
        expected = record["points"][track].transpose(1, 0, 2) * 256 - 0.5
        assert np.allclose(truth.xy.numpy(), expected, atol=1e-5)
        assert np.array_equal(truth.visibility.numpy(), ~record["occluded"][track].T)


def test_a_mark_in_the_picture_lies_where_tapvids_coordinates_say(tmp_path):
    record = tapvid_record(size=(64, 128))
    record["video"][:] = 0
    record["video"][:, 30, 100] = 255
    record["points"][:] = ((100 + 0.5) / 128, (30 + 0.5) / 64)  # the middle of that pixel
    frames, truth = find_clips(dump(tmp_path / "a.pkl", [record]), "first")[0].load()
    light = frames[0].sum(-1).double()
    y, x = torch.meshgrid(*[torch.arange(256.)] * 2, indexing="ij")
    center = torch.stack([(light * x).sum(), (light * y).sum()]) / light.sum()
    assert (center - truth.xy[0, 0]).abs().max() < 0.05


def test_pickles_that_are_none_of_tapvids_are_refused(tmp_path):
    with pytest.raises(ValueError, match="neither a dict nor a list of clips"):
        find_clips(dump(tmp_path / "a.pkl", 3), "first")
    with pytest.raises(ValueError, match=r"a\.pkl is no pickle of TAP-Vid that is safe to read.*not allowed"):
        find_clips(dump(tmp_path / "a.pkl", {"goat": Path("x")}), "first")
    for broken in ({}, "text", tapvid_record() | {"points": np.zeros((3, 5, 2))}, {"video": 3}):
        (clip,) = find_clips(dump(tmp_path / "a.pkl", [broken]), "strided")
        with pytest.raises(ValueError, match="It has no sound video, points and occluded"):
            clip.load()
    lists = [1]
    for _ in range(40):
        lists = [lists, lists]
    long = {"video": np.zeros((10_001, 1, 1, 3), np.uint8)}
    often = {"video": np.zeros((9000, 1, 1, 3), np.uint8), "points": np.zeros((9, 9000, 2), np.float16),
             "occluded": np.zeros((9, 9000), bool)}
    for broken, cause in ((tapvid_record() | {"points": lists}, "points is a list, not an array"),
                          (tapvid_record() | long, "video has 10001 frames, more than 10000"),
                          (often, "16200 queries of 9000 frames each are more than")):
        (clip,) = find_clips(dump(tmp_path / "a.pkl", [broken]), "strided")
        with pytest.raises(ValueError, match=f"It has no sound video, points and occluded: {cause}"):
            clip.load()
    endless = [tapvid_record()]
    endless.append(endless)
    assert len(find_clips(dump(tmp_path / "a.pkl", endless), "first")) == 2


def test_a_set_without_videos_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"There are no videos in '.*none'"):
        find_clips(str(tmp_path / "none"), "first")
