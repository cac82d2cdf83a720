"""From clips to batches: frames, points and their draws."""

import os
import subprocess
from dataclasses import replace
from multiprocessing import active_children

import cv2
import pytest
import torch
from tiny import MOTION
from tiny import clip_reader as reader

from trokens.clips.loader import clip_batches, clip_loader, collate, episode_loader
from trokens.fewshot.episodes import EpisodeSampler
from trokens.points.geometry import frame_positions
from trokens.points.io import read_tracks, write_tracks
from trokens.points.sampling import text_seed
from trokens.runtime.workers import SteadyLoader
from trokens.structures import Clips, Tracks
from trokens.video import read_video
from trokens.video.transforms import channels_first, resize


def sampler(clips, **changes) -> EpisodeSampler:
    options = {"n_way": 3, "k_shot": 1, "n_query": 1, "num_episodes": 4, "seed": 0}
    return EpisodeSampler([clip.class_id for clip in clips], **(options | changes))


def same(first: Clips, second: Clips) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in Clips.__dataclass_fields__
               if getattr(first, name) is not None or getattr(second, name) is not None)


def test_a_clip_shows_the_frames_that_its_points_lie_on(tiny_data):
    read = reader(tiny_data)
    clip, batch = read.clips[5], read.read(5, with_video=True)
    tracks, positions = read_tracks(clip.tracks), frame_positions(12, 4)
    assert positions.tolist() == [0, 3, 7, 11]
    assert torch.equal(batch.video[0], channels_first(resize(read_video(clip.video, positions.tolist()), 64)))
    assert batch.class_id.item() == clip.class_id == 1 and batch.index.item() == 5
    # every chosen point is one of the file's, with its own visibility and query frame
    normalized = 2 * tracks.xy[positions] / 64 - 1  # (T, M, 2)
    for n in range(8):
        where = (normalized - batch.tracks[0, :, n, None]).abs().amax((0, 2)).argmin()
        assert torch.allclose(normalized[:, where], batch.tracks[0, :, n], atol=1e-6)
        assert torch.equal(tracks.visibility[positions, where], batch.visibility[0, :, n])
        assert torch.equal(positions >= tracks.query_frame[where], batch.query_mask[0, :, n])


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda xy: xy.fill_(torch.nan), "has no position for any point that is shown: all are NaN; extract it again."),
    (lambda xy: xy[..., 0].fill_(torch.nan), "has no position for any point"),
    (lambda xy: xy[:, 3].fill_(torch.inf), r"has \d+ positions that are infinite among those that are shown"),
])
@pytest.mark.parametrize("sampling", ["cluster_sample", "random", "stratified", "hod", "hod_obj_id"])
def test_positions_that_cannot_be_shown_are_refused_with_file_and_clip(tiny_data, tmp_path, spoil, message, sampling):
    read = reader(tiny_data, options=MOTION, POINT_INFO__SAMPLING_TYPE=sampling, POINT_INFO__NUM_POINTS_TO_SAMPLE=24)
    clip = replace(read.clips[2], tracks=tmp_path / "x.safetensors")
    tracks = read_tracks(read.clips[2].tracks)
    spoil(tracks.xy)
    write_tracks(clip.tracks, tracks)
    with pytest.raises(ValueError, match=rf"x\.safetensors of clip '{clip.id}' {message}"):
        replace(read, clips=[clip]).read(0, with_video=False)


def test_a_missing_key_of_cluster_ids_is_named_with_its_option(tiny_data, tmp_path):
    read = reader(tiny_data, options=MOTION, POINT_INFO__OBJ_ID_KEY="ids")
    clip = replace(read.clips[2], tracks=tmp_path / "x.pkl")
    write_tracks(clip.tracks, read_tracks(read.clips[2].tracks))
    with pytest.raises(ValueError, match=r"^obj_id_key \(POINT_INFO\.OBJ_ID_KEY\) is 'ids', and .*x\.pkl has no such"):
        replace(read, clips=[clip]).read(0, with_video=False)


def test_single_positions_that_are_nan_are_shown(tiny_data, tmp_path):
    read = reader(tiny_data, options=MOTION, POINT_INFO__NUM_POINTS_TO_SAMPLE=24)
    clip = replace(read.clips[2], tracks=tmp_path / "x.safetensors")
    tracks = read_tracks(read.clips[2].tracks)
    tracks.xy[:, 1:] = torch.nan
    write_tracks(clip.tracks, tracks)
    assert replace(read, clips=[clip]).read(0, with_video=False).tracks.isnan().sum() == 4 * 23 * 2


def test_without_frames_everything_else_stays_the_same(tiny_data):
    read = reader(tiny_data)
    assert same(replace(read.read(3, with_video=True), video=None), read.read(3, with_video=False))


def test_points_of_training_are_drawn_at_each_look_or_fixed_by_the_clip(tiny_data):
    for method in ("random", "cluster_sample"):
        drawn = reader(tiny_data, options=MOTION, POINT_INFO__SAMPLING_TYPE=method)
        fixed = reader(tiny_data, options=MOTION, POINT_INFO__SAMPLING_TYPE=method, POINT_INFO__RESAMPLE=False)
        evaluated = drawn.read(3, with_video=False)
        assert not same(drawn.read(3, with_video=False, key="a"), drawn.read(3, with_video=False, key="b"))
        assert all(same(fixed.read(3, with_video=False, key=key), evaluated) for key in (None, "a", "b"))


def test_a_clip_without_a_point_file_shows_frames_of_the_whole_video_and_a_seed(tiny_data):
    options = {"POINT_INFO__USE_CORRELATION": True, "POINT_INFO__NAME": "nowhere"}
    read = reader(tiny_data, **options)
    clip, batch = read.clips[5], read.read(5, with_video=True)
    frames = read_video(clip.video, frame_positions(12, 4).tolist())
    assert clip.tracks is None and torch.equal(batch.video[0], channels_first(resize(frames, 64)))
    assert batch.tracks is None and batch.seed.item() == text_seed(clip.id) % 2**63
    assert same(replace(batch, video=None), read.read(5, with_video=False))
    assert read.read(5, with_video=False, key="a").seed.item() == text_seed("a") % 2**63
    fixed = reader(tiny_data, POINT_INFO__RESAMPLE=False, **options)
    assert fixed.read(5, with_video=False, key="a").seed == batch.seed


def test_fixed_points_leave_the_augmentation_as_it_is_drawn(tiny_data):
    first, second = (reader(tiny_data, augment=True, DATA__USE_RAND_AUGMENT=True, POINT_INFO__RESAMPLE=resample)
                     .read(3, with_video=True, key="a") for resample in (True, False))
    assert torch.equal(first.video, second.video) and not torch.equal(first.tracks, second.tracks)


def test_a_published_point_file_spreads_over_the_whole_video(tiny_data, tmp_path):
    read = reader(tiny_data)
    clip = read.clips[0]
    half = read_tracks(clip.tracks)
    half = Tracks(half.xy[::2], half.visibility[::2], half.query_frame // 2, half.cluster)  # 6 positions, nothing known
    write_tracks(tmp_path / "half.safetensors", half)
    clip = replace(clip, tracks=tmp_path / "half.safetensors")
    batch = replace(read, clips=[clip]).read(0, with_video=True)
    # positions floor(linspace(0, 5, 4)) = 0 1 3 5 of the frames floor(linspace(0, 11, 6)) = 0 2 4 6 8 11
    assert torch.equal(batch.video[0], channels_first(resize(read_video(clip.video, [0, 2, 6, 11]), 64)))
    assert torch.equal(batch.tracks, replace(read, clips=[clip]).read(0, with_video=False).tracks)
    assert batch.tracks.abs().max() < 1.5  # divided by the video's own size


def test_positions_are_normalized_in_the_precision_of_their_file(tiny_data, tmp_path):
    read = reader(tiny_data, POINT_INFO__COORDS="centered")
    tracks = read_tracks(read.clips[0].tracks)
    got = {}
    for stored in (torch.float16, torch.float32):
        path = tmp_path / f"{stored}.pkl"
        write_tracks(path, replace(tracks, xy=tracks.xy.half().float(), dtype=stored))
        for option in ("auto", "float16", "float32"):
            clip = replace(read.clips[0], tracks=path)
            got[stored, option] = replace(read, clips=[clip], track_dtype=option).read(0, with_video=False).tracks
    assert torch.equal(got[torch.float16, "auto"], got[torch.float16, "float16"])
    assert torch.equal(got[torch.float32, "auto"], got[torch.float32, "float32"])
    for option in ("float16", "float32"):
        assert torch.equal(got[torch.float16, option], got[torch.float32, option])
    away = (got[torch.float16, "auto"] - got[torch.float16, "float32"]).abs().max()
    assert 1e-4 < away < 2**-10 and got[torch.float16, "auto"].dtype == torch.float32
    assert read.track_dtype == "auto"
    assert reader(tiny_data, POINT_INFO__TRACK_DTYPE="float32").track_dtype == "float32"


def test_evaluation_draws_depend_on_the_clip_alone(tiny_data):
    read = reader(tiny_data, split="test", augment=False)
    alone = [read.read(i, with_video=True) for i in (4, 7)]
    batches = list(clip_loader(read, [[7, 4], [9, 7]]))
    assert same(batches[0], collate(alone[::-1]))
    assert torch.equal(batches[1].video[1], alone[1].video[0]) and torch.equal(batches[1].tracks[1], alone[1].tracks[0])
    other_list = replace(read, clips=list(read.clips)[4:])  # the same clips in other rows
    assert torch.equal(other_list.read(3, with_video=False).tracks, alone[1].tracks)


def test_training_draws_depend_on_the_place_in_the_stream_alone(tiny_data):
    read = reader(tiny_data, augment=True, DATA__USE_RAND_AUGMENT=True)
    plans = sampler(read.clips)
    first = list(episode_loader(read, plans))
    assert all(same(a.clips, b.clips) for a, b in zip(first, episode_loader(read, plans), strict=True))
    plans.set_epoch(0, start=2)
    assert all(same(a.clips, b.clips) for a, b in zip(first[2:], episode_loader(read, plans), strict=True))
    repeated = read.read(0, with_video=True, key="a"), read.read(0, with_video=True, key="b")
    assert not torch.equal(repeated[0].tracks, repeated[1].tracks)
    assert any(not torch.equal(read.read(0, with_video=True, key=k).video, repeated[0].video) for k in "bcdefgh")


def test_augmentation_changes_frames_but_not_points(tiny_data):
    options = {"DATA__USE_RAND_AUGMENT": True}
    plain, augmented = (reader(tiny_data, augment=a, **options) for a in (False, True))
    pairs = [(plain.read(2, with_video=True, key=k), augmented.read(2, with_video=True, key=k)) for k in "abcdef"]
    assert any(not torch.equal(a.video, b.video) for a, b in pairs)
    assert augmented.augment is not None and plain.augment is None


@pytest.mark.parametrize("order", ["published", "resize_first"])
def test_the_order_says_which_frames_are_augmented(tiny_data, order):
    read = reader(tiny_data, augment=True, DATA__USE_RAND_AUGMENT=True, AUG__ORDER=order, DATA__TRAIN_CROP_SIZE=32)
    frames = read_video(read.clips[2].video, frame_positions(12, 4).tolist())
    for key in "abcdefgh":
        draws = torch.Generator().manual_seed(text_seed(key) % 2**63)
        want = read.augment(resize(frames, 32), draws) if order == "resize_first" else \
            resize(read.augment(frames, draws), 32)
        assert torch.equal(read.read(2, with_video=True, key=key).video[0], channels_first(want))


@pytest.mark.parametrize("augment", [False, True])
def test_workers_give_the_same_episodes(tiny_data, augment):
    read = reader(tiny_data, augment=augment, DATA__USE_RAND_AUGMENT=True)
    plans = sampler(read.clips)
    here = list(episode_loader(read, plans))
    workers = episode_loader(read, plans, num_workers=2)
    assert all(same(a.clips, b.clips) for a, b in zip(here, workers, strict=True))
    plans.set_epoch(1)  # persistent workers follow the sampler
    assert all(same(a.clips, b.clips) for a, b in zip(episode_loader(read, plans), workers, strict=True))


def test_workers_heed_signals_of_the_main_process_alone(tiny_data):
    read = reader(tiny_data, options=MOTION)
    plans = sampler(read.clips)
    episodes = iter(episode_loader(read, plans, with_video=False, num_workers=1))
    (worker,) = active_children()
    for name in ("TERM", "INT"):
        subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    assert len(list(episodes)) == 4 and worker.is_alive()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


class _Threads:
    def __len__(self):
        return 2

    def __getitem__(self, _index):
        return torch.get_num_threads(), cv2.getNumThreads()


def test_workers_keep_to_one_core():
    assert list(SteadyLoader(_Threads(), batch_size=None, num_workers=1)) == [[1, 1]] * 2


def test_more_workers_than_cores_are_not_started(tiny_data, recwarn):
    read = reader(tiny_data, options=MOTION)
    assert episode_loader(read, sampler(read.clips), num_workers=999).num_workers <= os.cpu_count()
    assert not recwarn.list


def test_an_episode_is_class_major_with_its_support_first(tiny_data):
    read = reader(tiny_data, options=MOTION)
    plans = sampler(read.clips, k_shot=2, n_query=2)
    for plan, episode in zip(plans, episode_loader(read, plans, with_video=False), strict=True):
        assert episode.clips.video is None and episode.num_support == 6 and episode.n_way == 3
        assert episode.way.tolist() == [0, 0, 1, 1, 2, 2] * 2
        assert episode.clips.index.tolist() == list(plan.indices)
        assert episode.clips.class_id.tolist() == [read.clips[i].class_id for i in plan.indices]
        assert episode.clips.tracks.shape == (12, 4, 8, 2)


def test_more_points_than_a_clip_has_are_repeats(tiny_data):
    batch = reader(tiny_data, POINT_INFO__NUM_POINTS_TO_SAMPLE=40).read(0, with_video=False)
    assert batch.tracks.shape == (1, 4, 40, 2)
    assert len(torch.unique(batch.tracks[0].transpose(0, 1).flatten(1), dim=0)) == 24


def test_batches_of_clips_do_not_depend_on_who_reads_them():
    assert clip_batches(range(7), 3) == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_missing_file_is_named(tiny_data):
    read = reader(tiny_data)
    gone = replace(read.clips[0], video=tiny_data / "gone.mp4")
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        replace(read, clips=[gone]).read(0, with_video=True)
