"""The CoTracker adapters against a stand-in with its interface and shapes; with `-m cotracker` against the real one."""

import hashlib
import os
from pathlib import Path

import pytest
import torch
from cotracker_stand_in import Predictor, clip

from trokens.trackers import build_tracker, cotracker_hub

SCALE = torch.tensor([511 / 63, 383 / 47])  # pixels of the model in one of the clip of 64 x 48
SMALL = {"size": (48, 64)}  # a model of the clip's size, quicker for long clips


def tracker(name="cotracker3_offline", *, room=10000, encoder_room=1000, confidence=0.9, size=(384, 512), **options):
    model = Predictor(16 if name.endswith("online") else 60, confidence, size)
    model.model.room, model.model.fnet.room = room, encoder_room
    return build_tracker(name, "cpu", model=model, **options)


def shifts(num_frames: int) -> torch.Tensor:
    return torch.stack([torch.arange(num_frames) * 1.0, torch.arange(num_frames) % 7 * 2.0], dim=1)


def expected(query: torch.Tensor, shift: torch.Tensor, scale=SCALE) -> torch.Tensor:
    return query[:, 1:] + (shift[:, None] - shift[query[:, 0].long()]) / scale


QUERY = torch.tensor([[0., 3, 4], [4, 20.5, 10.25], [9, 63, 47], [7, 0, 0], [2, 30, 5]])
BOTH = pytest.mark.parametrize("name", ["cotracker3_offline", "cotracker3_online"])


@BOTH
def test_tracks_are_in_pixels_of_the_clip_and_go_both_ways(name):
    tracks, visibility, confidence = tracker(name).track(clip(shifts(10)), QUERY)
    torch.testing.assert_close(tracks, expected(QUERY, shifts(10)), atol=1e-3, rtol=0)
    assert visibility.all() and visibility.dtype == torch.bool
    assert (tracks.dtype, confidence.dtype) == (torch.float32, torch.float32)
    t, n = QUERY[:, 0].long(), torch.arange(5)
    assert torch.equal(tracks[t, n], QUERY[:, 1:]) and (confidence[t, n] == 1).all()
    assert confidence.sum().item() == pytest.approx(5 + 0.9 * 45)


@BOTH
def test_whole_numbers_are_as_good_as_floats(name):
    query = torch.tensor([[0, 3, 4], [6, 20, 10]])
    tracks = tracker(name).track(clip(shifts(10)), query).tracks
    torch.testing.assert_close(tracks, expected(query, shifts(10)), atol=1e-3, rtol=0)


@BOTH
@pytest.mark.parametrize(("rule", "visibility", "confidence", "seen"), [
    ("hub", 0.95, 0.3, True), ("hub", 0.85, 1.0, False), ("paper", 0.95, 0.3, False), ("paper", 0.85, 0.9, True)])
def test_visibility_follows_the_rule_but_in_the_query_frame(name, rule, visibility, confidence, seen):
    made = tracker(name, visibility_rule=rule, confidence=confidence)
    result = made.track(clip(shifts(10), visibility), QUERY)
    query_row = torch.arange(10)[:, None] == QUERY[:, 0]
    assert result.visibility[query_row].all() and (result.visibility[~query_row] == seen).all()
    assert made.metadata == {"tracker": name, "visibility_rule": {
        "hub": "visibility > 0.9", "paper": "visibility * confidence > 0.6"}[rule]}


@BOTH
def test_each_chunk_of_queries_has_the_support_grid(name):
    made = tracker(name, query_chunk=2)
    result = made.track(clip(shifts(10)), QUERY)
    torch.testing.assert_close(result.tracks, expected(QUERY, shifts(10)), atol=1e-3, rtol=0)
    calls = [queries for _, queries in made.model.model.calls]
    assert [len(queries) - 36 for queries in calls] == [2, 2, 1, 2, 2, 1]
    for number, queries in enumerate(calls):
        assert queries.dtype == torch.float32
        t, x, y = queries[-36:].T
        assert (t == (9 if name.endswith("offline") and number > 2 else 0)).all()
        assert x.unique().tolist() == pytest.approx([8, 107.2, 206.4, 305.6, 404.8, 504])
        assert y.unique().tolist() == pytest.approx([8, 81.6, 155.2, 228.8, 302.4, 376])
    torch.testing.assert_close(calls[3][:2, 0], 9 - calls[0][:2, 0])
    torch.testing.assert_close(calls[0][1, 1:], QUERY[1, 1:] * SCALE)


@BOTH
@pytest.mark.parametrize("size", [(48, 64), (50, 66), (240, 131)])
def test_reduced_frames_give_the_bits_of_those_that_they_are_made_of(name, size):
    made, generator = tracker(name, size=(24, 32)), torch.Generator().manual_seed(0)
    frames = clip(shifts(20), size=size)
    frames = frames + torch.randint(0, 60, frames.shape, generator=generator, dtype=torch.uint8)
    reduced = [made.reduce(frame) for frame in frames.numpy()]
    assert reduced[0].nbytes == min(frames[0].numel(), 4 * 3 * 24 * 32)
    query = torch.tensor([[19., 3, 4], [4, 20.5, 10.25], [0, 40, 40]])
    for small, whole in zip(made.track_reduced(reduced, size, query), made.track(frames, query), strict=True):
        assert torch.equal(small, whole)


def test_frames_are_encoded_in_chunks_and_once_for_all_queries_and_directions():
    made = tracker(query_chunk=2, frame_chunk=4)
    encoder = made.model.model.fnet
    made.track(clip(shifts(10)), QUERY)
    assert encoder.sizes == [4, 4, 2] and made.model.model.fnet is encoder


def test_a_stream_encodes_each_window_once_for_all_chunks_of_queries():
    made = tracker("cotracker3_online", query_chunk=2, **SMALL)
    query = torch.tensor([[20., 3, 4], [0, 9, 9], [36, 5, 6], [2, 30, 5], [15, 8, 8]])
    result = made.track(clip(shifts(37)), query)
    assert made.model.model.fnet.sizes == 2 * [16, 16, 16, 13]  # each window once, in both directions
    calls = made.model.model.calls
    assert [frames for frames, _ in calls] == 2 * [frames for frames in (16, 16, 16, 13) for _ in range(3)]
    assert [len(queries) - 36 for _, queries in calls] == 8 * [2, 2, 1]
    alone = [tracker("cotracker3_online", **SMALL).track(clip(shifts(37)), query[n:n + 2]) for n in (0, 2, 4)]
    for all_at_once, one_by_one in zip(result, zip(*alone, strict=True), strict=True):
        assert torch.equal(all_at_once, torch.cat(one_by_one, dim=1))


def test_a_stream_that_runs_out_of_memory_on_the_way_starts_again_with_smaller_chunks(monkeypatch):
    made = tracker("cotracker3_online", **SMALL)
    query = torch.tensor([[0., 3, 4], [1, 9, 9], [2, 5, 6], [3, 30, 5]])
    expected = made.track(clip(shifts(37)), query)
    made.model.model.room_later = 36 + 3
    result = made.track(clip(shifts(37)), query)
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))


@BOTH
def test_without_memory_chunks_are_halved(name, caplog):
    frames, query = clip(shifts(10)), QUERY.repeat(4, 1)
    made = tracker(name, room=36 + 6, encoder_room=3, query_chunk=100)
    first, second = (made.track(frames, query) for _ in range(2))
    torch.testing.assert_close(first.tracks, expected(query, shifts(10)), atol=1e-3, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    sizes = [len(queries) - 36 for _, queries in made.model.model.calls]
    assert sizes[:6] == [20, 10, 5, 5, 5, 5] and 20 in sizes[6:]  # the next clip starts anew
    assert "Out of memory with 20 query points at once; going on with 10." in caplog.text
    assert max(made.model.model.fnet.sizes[-4:]) <= 3


@pytest.mark.parametrize("room", [{"room": 36}, {"encoder_room": 0}])
def test_without_memory_for_one_the_error_is_raised(room):
    made = tracker(**room)
    encoder = made.model.model.fnet
    with pytest.raises(RuntimeError, match="out of memory"):
        made.track(clip(shifts(4)), torch.tensor([[0., 3, 4], [1, 3, 4]]))
    assert made.model.model.fnet is encoder


def test_other_errors_are_not_retried(monkeypatch):
    made = tracker()
    monkeypatch.setattr(made.model.model, "forward", lambda **_: (_ for _ in ()).throw(RuntimeError("shapes")))
    with pytest.raises(RuntimeError, match="shapes"):
        made.track(clip(shifts(4)), QUERY[:1])


def test_long_clips_are_tracked_in_windows():
    query = torch.tensor([[0., 3, 4], [45, 20, 10], [119, 9, 9], [61, 5, 5], [110, 8, 8]])
    made = tracker(**SMALL)
    result = made.track(clip(shifts(120)), query)
    torch.testing.assert_close(result.tracks, expected(query, shifts(120), 1), atol=1e-3, rtol=0)
    assert result.visibility.all()
    calls = made.model.model.calls  # windows start at 0, 40 and 60; in the clip played backward likewise
    assert [frames for frames, _ in calls] == [60] * 6
    assert [len(queries) - 36 for _, queries in calls] == [1, 2, 5, 2, 3, 5]
    assert [queries[-1, 0].item() for _, queries in calls] == [0, 0, 0, 59, 59, 59]


def test_a_point_is_carried_from_where_it_is_seen_best():
    visibility = torch.full((100,), 0.5)
    visibility[47] = 1.0
    made = tracker(**SMALL)
    made.track(clip(shifts(100), visibility), torch.tensor([[0., 3, 4]]))
    (_, first), (_, second) = made.model.model.calls
    assert first[0].tolist() == [0, 3, 4]
    moved = torch.tensor([3, 4]) + shifts(100)[47]
    assert second[0].tolist() == pytest.approx([7, *moved.tolist()], abs=1e-3)  # frame 47 is the window's number 7


def test_a_point_doubtful_in_the_whole_overlap_is_seen_again():
    visibility = torch.full((100,), 0.95)
    visibility[40:60] = 0.7
    visible = tracker(**SMALL).track(clip(shifts(100), visibility), torch.tensor([[0., 3, 4]])).visibility[:, 0]
    assert visible[:40].all() and not visible[40:60].any() and visible[60:].all()


def test_a_point_hidden_in_the_whole_overlap_stays_hidden():
    visibility = torch.full((150,), 0.95)
    visibility[40:60] = 0.4
    result = tracker(**SMALL).track(clip(shifts(150), visibility), torch.tensor([[10., 3, 4], [60, 3, 4]]))
    assert result.tracks.isfinite().all()
    assert result.visibility[:40, 0].all() and not result.visibility[40:, 0].any()
    assert result.visibility[60:, 1].all()


def test_a_stream_goes_on_by_half_windows():
    made = tracker("cotracker3_online")
    query = torch.tensor([[20., 3, 4], [0, 9, 9]])
    result = made.track(clip(shifts(37)), query)
    torch.testing.assert_close(result.tracks, expected(query, shifts(37)), atol=1e-3, rtol=0)
    assert [frames for frames, _ in made.model.model.calls] == 2 * [16, 16, 16, 13]


@BOTH
@pytest.mark.parametrize("num_frames", [1, 5, 8, 9, 16])
def test_short_clips_are_fine(name, num_frames):
    query = torch.tensor([[num_frames - 1., 3, 4]])
    tracks = tracker(name).track(clip(shifts(num_frames)), query).tracks
    torch.testing.assert_close(tracks, expected(query, shifts(num_frames)), atol=1e-3, rtol=0)


@BOTH
def test_no_points_are_fine(name):
    tracks, visibility, confidence = tracker(name).track(clip(shifts(5)), torch.zeros(0, 3))
    assert (tracks.shape, visibility.shape, confidence.shape) == ((5, 0, 2), (5, 0), (5, 0))


@pytest.mark.parametrize(("options", "message"), [
    ({"visibility_rule": "mine"}, "Known: hub, paper"), ({"query_chunk": 0}, "query_chunk is 0"),
    ({"frame_chunk": -1}, "frame_chunk is -1"), ({"overlap": 60}, "less than window, 60"), ({"overlap": 0}, "overlap")])
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        tracker(**options)


def test_impossible_queries_are_named():
    with pytest.raises(ValueError, match="frame 5; 5 frames"):
        tracker().track(clip(shifts(5)), torch.tensor([[5., 1, 1]]))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout whose hubconf builds the stand-in, and seeds torch as the real one does."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    cotracker_hub._say_license.cache_clear()
    (tmp_path / "hubconf.py").write_text(
        "import torch\nfrom cotracker_stand_in import Predictor\n"
        "torch.manual_seed(0)\n"
        "def cotracker3_offline(pretrained=True):\n    assert not pretrained\n    return Predictor(60)\n"
        "def cotracker3_online(pretrained=True):\n    assert not pretrained\n    return Predictor(16)\n")
    torch.save({"fnet.scale": torch.tensor(60.0)}, tmp_path / "weights.pth")
    return tmp_path


@BOTH
def test_a_local_checkout_is_loaded_with_the_hash_of_its_weights(name, checkout, caplog):
    state = torch.get_rng_state()
    made, _ = (build_tracker(name, "cpu", source=str(checkout), weights=str(checkout / "weights.pth"))
               for _ in range(2))
    assert made.metadata["weights"] == hashlib.sha256((checkout / "weights.pth").read_bytes()).hexdigest()[:16]
    assert made.model.model.fnet.scale == 60 and torch.equal(torch.get_rng_state(), state)
    assert caplog.text.count("CC-BY-NC 4.0") == 1


def test_worker_processes_do_not_repeat_the_license(checkout, monkeypatch, caplog):
    monkeypatch.setattr(cotracker_hub, "parent_process", lambda: "the main one")
    build_tracker("cotracker3_offline", "cpu", source=str(checkout), weights=str(checkout / "weights.pth"))
    assert "CC-BY-NC" not in caplog.text


def test_weights_come_through_torch_hub(checkout, monkeypatch):
    def download(url, path, progress):
        assert url.endswith("/facebook/cotracker3/resolve/main/scaled_offline.pth")
        torch.save({"model": {"fnet.scale": torch.tensor(50.0)}}, path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert build_tracker("cotracker3_offline", "cpu", source=str(checkout)).model.model.fnet.scale == 50
    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(checkout / "hub"))
    again = build_tracker("cotracker3_offline", "cpu", source=str(checkout))  # from the cache
    assert again.model.model.fnet.scale == 50


def test_what_cannot_be_loaded_is_named(checkout, monkeypatch):
    with pytest.raises(FileNotFoundError, match="has no hubconf"):
        build_tracker("cotracker3_offline", source=str(checkout / "hub"))
    with pytest.raises(FileNotFoundError, match=r"no file '.*missing\.pth' of cotracker3_offline's weights"):
        build_tracker("cotracker3_offline", source=str(checkout), weights=str(checkout / "missing.pth"))
    torch.save({"other": torch.zeros(1)}, checkout / "other.pth")
    torch.save([1], checkout / "list.pth")
    (checkout / "empty.pth").touch()
    for file in ("other.pth", "list.pth", "empty.pth", "hubconf.py"):
        with pytest.raises(ValueError, match=f"{file} does not hold the weights of cotracker3_offline"):
            build_tracker("cotracker3_offline", source=str(checkout), weights=str(checkout / file))
    monkeypatch.setattr(torch.hub, "load", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("no connection")))
    with pytest.raises(FileNotFoundError, match="run once with network"):
        build_tracker("cotracker3_offline")


def real_options(name: str) -> dict[str, str]:
    """Where the environment says that the real one lies, as options of a tracker; nothing where it says nothing.

    ``TROKENS_COTRACKER_DIR`` is a checkout of facebookresearch/co-tracker. ``TROKENS_COTRACKER_WEIGHTS`` is a folder
    with scaled_offline.pth and scaled_online.pth, or one of these files: tests of the other model are then skipped.
    """
    options = {}
    if source := os.environ.get("TROKENS_COTRACKER_DIR"):
        options["source"] = source
    if weights := os.environ.get("TROKENS_COTRACKER_WEIGHTS"):
        file = f"scaled_{name.rpartition('_')[2]}.pth"
        if not Path(weights).is_dir() and Path(weights).name != file:
            pytest.skip(f"TROKENS_COTRACKER_WEIGHTS is {weights}, not {file}")
        options["weights"] = str(Path(weights) / file if Path(weights).is_dir() else weights)
    return options


@BOTH
def test_the_environment_says_where_the_real_one_lies(name, checkout, monkeypatch):
    monkeypatch.setenv("TROKENS_COTRACKER_DIR", str(checkout))
    assert real_options(name) == {"source": str(checkout)}
    file = checkout / f"scaled_{name.removeprefix('cotracker3_')}.pth"
    for weights in (checkout, file):
        monkeypatch.setenv("TROKENS_COTRACKER_WEIGHTS", str(weights))
        assert real_options(name) == {"source": str(checkout), "weights": str(file)}
    with pytest.raises(FileNotFoundError, match=file.name):  # the environment promised it: no test is skipped
        real_tracker(name)
    (checkout / "weights.pth").rename(file)
    assert real_tracker(name).model.model.fnet.scale == 60
    monkeypatch.setenv("TROKENS_COTRACKER_WEIGHTS", str(checkout / "scaled_other.pth"))
    with pytest.raises(pytest.skip.Exception, match=f"not {file.name}"):
        real_options(name)


def real_tracker(name: str):
    """The real one, on the CPU or the GPU; where it cannot be downloaded the test is skipped."""
    options = real_options(name)
    try:
        return build_tracker(name, **options)
    except FileNotFoundError as error:
        if options:
            raise
        pytest.skip(str(error))


@pytest.mark.cotracker
@BOTH
def test_the_real_one_follows_a_panned_texture(name):
    made = real_tracker(name)
    noise = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.interpolate(noise, size=(192, 288), mode="bicubic", align_corners=False)[0]
    image = (image.permute(1, 2, 0).clamp(0, 1) * 255).to(torch.uint8)
    frames = torch.stack([image.roll((-t, 2 * t), (0, 1)) for t in range(70)])
    query = torch.tensor([[0, 60, 120], [30, 150, 100], [69, 200, 60]])
    tracks, visibility, confidence = made.track(frames, query)
    true = query[:, 1:] + (torch.arange(70)[:, None, None] - query[:, :1]) * torch.tensor([2, -1])
    inside = ((true > 16) & (true < torch.tensor([272, 176]))).all(-1)
    assert (tracks - true).norm(dim=-1)[inside].max() < 2
    assert visibility[inside].float().mean() > 0.95 and confidence.isfinite().all()
    assert len(made.metadata["weights"]) == 16


@pytest.mark.cotracker
def test_the_real_stream_encodes_each_window_once_and_tells_what_one_chunk_after_the_other_does():
    made = real_tracker("cotracker3_online")
    made.query_chunk = 4
    frames = clip(shifts(37), size=(96, 128))
    frames = frames + torch.randint(0, 60, frames.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    query = torch.rand(10, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([37, 127, 95])
    query[:, 0].floor_()
    encoded = []
    encoder = made.model.model.fnet
    handle = encoder.register_forward_pre_hook(lambda _, arguments: encoded.append(len(arguments[0])))
    result = made.track(frames, query)
    handle.remove()
    assert sum(encoded) <= 2 * 4 * 16  # four windows in either direction, whatever the number of chunks
    for start in (0, 4, 8):
        alone = made.track(frames, query[start:start + 4])
        for all_at_once, chunk in zip(result, alone, strict=True):
            torch.testing.assert_close(all_at_once[:, start:start + 4], chunk)
