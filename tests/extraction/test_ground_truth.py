"""Clips with true tracks: from files, from TAP-Vid's pickles, rendered."""

import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from extracting import dump, tapvid_record
from tiny import points_dir

from trokens.extraction.ground_truth import find_clips, load_truth, rendered_clips
from trokens.moving_shapes.motions import BASIC_MOTIONS
from trokens.moving_shapes.render import render_clip, render_seed
from trokens.points.io import read_tracks
from trokens.points.tapvid import check_truth, query_points


def test_the_tracks_of_rendered_files_are_found_from_any_pattern(tiny_data):
    clips = find_clips(str(tiny_data), "strided")
    assert len(clips) == 48 and clips[0].name == f"test/{sorted(BASIC_MOTIONS['test'][:5])[0]}/0"
    name = BASIC_MOTIONS["val"][0]
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
    with pytest.raises(ValueError, match=r"a\.npz cannot be read: it has no 'query_points', only tracks; write it"):
        load_truth(video)
    (tmp_path / "a.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"No true tracks for '.*a\.mp4': neither a\.npz"):
        load_truth(video)


def test_rendered_clips_are_those_of_the_data_set_evenly_spread_over_motions():
    names = [clip.name for clip in rendered_clips("hard", 68)]
    assert sorted(names) == sorted(f"{split}/{motion}/{i:03d}" for split, motions in BASIC_MOTIONS.items()
                                   for motion in motions for i in range(2))
    few = [clip.name for clip in rendered_clips("hard", 5)]
    assert len(set(few)) == 5 and {name.split("/")[0] for name in few} == set(BASIC_MOTIONS)
    frames, truth = rendered_clips("hard", 68)[1].load()
    motion = BASIC_MOTIONS["train"][0]
    expected, tracks = render_clip(motion, seed=render_seed(0, "train", motion, 1), level="hard")
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


def bomb(path: Path, shape: tuple[int, ...], num_bytes: int) -> None:
    """A small file that unpacks to many bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("query_points", "tracks", "visibility"):
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                entry.write(header.getvalue())
                for _ in range(num_bytes >> 20):
                    entry.write(bytes(2**20))


SOUND = {"query_points": np.array([[3, 5, 6], [0, 60, 1]], np.float32), "tracks": np.full((12, 2, 2), 9, np.float32),
         "visibility": np.ones((12, 2), bool)}


@pytest.mark.parametrize(("spoil", "cause"), [
    (lambda path: path.write_bytes(b""), "cannot be read: it is empty; write it anew with numpy.savez"),
    (lambda path: path.write_bytes(path.read_bytes()[:200]), "cannot be read: File is not a zip file; write it anew"),
    (lambda path: path.write_bytes(b"this is a text"), "cannot be read: File is not a zip file; write it anew"),
    (lambda path: path.write_bytes(pickle.dumps(SOUND)), "cannot be read: File is not a zip file; write it anew"),
    (lambda path: bomb(path, (100, 1000, 1000), 400 << 20), "cannot be read: its arrays take 1200 MiB, more than 256"),
    (lambda path: bomb(path, (10**5, 10**2, 2), 0), "cannot be read: EOF: reading array data"),
    (lambda path: np.savez(path, **SOUND | {"tracks": np.array([None, 1])}), "cannot be read: Object arrays cannot be"),
    (lambda path: np.savez(path, **SOUND | {"tracks": np.ones((12, 2, 2), complex)}), "'tracks' holds complex128"),
    (lambda path: np.savez(path, **SOUND | {"tracks": np.array(["a"])}), "'tracks' holds <U1, not numbers"),
    (lambda path: np.savez(path, **SOUND | {"tracks": SOUND["tracks"][:9], "visibility": SOUND["visibility"][:9]}),
     "a.npz have 9 frames, and it has 12; it is cut, or they belong to another video."),
    (lambda path: np.savez(path, **SOUND | {"tracks": SOUND["tracks"].swapaxes(0, 1)}), "a query frame is not among"),
    (lambda path: np.savez(path, **SOUND | {"query_points": SOUND["query_points"] + 0.5}),
     "a query frame is no whole number."),
    (lambda path: np.savez(path, **SOUND, layer=np.full(2, np.nan)), "layer is not finite everywhere."),
    (lambda path: np.savez(path, **SOUND, layer=np.zeros(3)), "cluster is (3,); expected (N) with N=2."),
    (lambda path: np.savez(path, **SOUND | {"visibility": SOUND["visibility"][:, :1]}), "visibility is (12, 1)"),
])
def test_true_tracks_that_are_none_are_named_and_cost_little(tiny_data, tmp_path, spoil, cause):
    (tmp_path / "a.mp4").write_bytes(next(tiny_data.glob("val/*/0.mp4")).read_bytes())
    np.savez(tmp_path / "a.npz", **SOUND)
    load_truth(tmp_path / "a.mp4")
    spoil(tmp_path / "a.npz")
    tracemalloc.start()
    with pytest.raises(ValueError) as error:
        load_truth(tmp_path / "a.mp4")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cause in str(error.value) and "a.npz" in str(error.value) and not str(error.value).endswith("..")
    assert peak < 100 << 20


def test_true_tracks_that_claim_more_than_memory_holds_are_named(tiny_data, tmp_path):
    (tmp_path / "a.mp4").write_bytes(next(tiny_data.glob("val/*/0.mp4")).read_bytes())
    bomb(tmp_path / "a.npz", (10**7, 10**6, 2), 0)
    with pytest.raises(ValueError, match=r"a\.npz cannot be read: .*; write it anew with numpy\.savez\.$"):
        load_truth(tmp_path / "a.mp4")


def test_arrays_of_other_machines_and_orders_are_read(tiny_data, tmp_path):
    (tmp_path / "a.mp4").write_bytes(next(tiny_data.glob("val/*/0.mp4")).read_bytes())
    tracks = np.random.default_rng(0).random((12, 2, 2)) * 60
    np.savez_compressed(tmp_path / "a.npz", **SOUND | {"tracks": np.asfortranarray(tracks.astype(">f4")),
                                                       "visibility": np.full((12, 2), 0.3)})
    truth = load_truth(tmp_path / "a.mp4")[1]
    assert np.array_equal(truth.xy[5:].numpy(), tracks[5:].astype(np.float32)) and not truth.visibility.any()


@pytest.mark.parametrize(("change", "cause"), [
    ({"video": np.zeros((6, 3, 40, 60), np.uint8)}, r"video is \(6, 3, 40, 60\) uint8; expected \(T, H, W, 3\) uint8"),
    ({"video": np.zeros((6, 40, 60, 1), np.uint8)}, r"video is \(6, 40, 60, 1\) uint8; expected"),
    ({"video": np.zeros((6, 40, 60, 3), np.float32)}, r"video is \(6, 40, 60, 3\) float32; expected"),
    ({"video": np.zeros((5, 40, 60, 3), np.uint8)}, "points have 6 frames, and video has 5"),
])
def test_videos_of_tapvid_of_another_form_are_named(tmp_path, change, cause):
    (clip,) = find_clips(dump(tmp_path / "a.pkl", [tapvid_record() | change]), "first")
    with pytest.raises(ValueError, match=f"It has no sound video, points and occluded: {cause}"):
        clip.load()


def test_points_in_other_units_than_the_frames_are_named(tmp_path):
    record = tapvid_record()
    (clip,) = find_clips(dump(tmp_path / "a.pkl", [record | {"points": record["points"] * 256}]), "first")
    with pytest.raises(ValueError, match=r"Point 0 is asked for at \(.*\), outside of frames of 256 x 256 pixels "
                       r"\(\d such points\); mend the true tracks"):
        check_truth(clip.load()[1])
