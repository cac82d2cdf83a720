"""The untrained classifier in few-shot episodes."""

import json

import clips_of_actions
import numpy as np
import pytest
from tiny import command

from trokens import FewShotClassifier, load_cfg
from trokens.cli import descriptor_baseline
from trokens.cli.descriptor_baseline import episode_distances
from trokens.fewshot.episodes import EpisodeSampler
from trokens.recognize.cache import Cache
from trokens.recognize.compare import Distances, compare
from trokens.recognize.describe import Describer
from trokens.report.run_folder import RunFolder


def episode_accuracy(found, plan, rows):
    return (episode_distances(found, plan, rows).argmin(1) == plan.way[plan.num_support:]).mean()


@pytest.mark.parametrize("k_shot", [1, 2])
def test_an_episode_is_answered_as_a_classifier_of_its_support_answers(tmp_path, k_shot):
    paths = [(path, action) for action, some in clips_of_actions.write(tmp_path, clips=4).items() for path in some]
    clips, labels = zip(*paths, strict=True)
    cache = tmp_path / "cache"
    described = [Describer(None, Cache(cache))(path) for path in clips]
    found = compare(described, described, "motion")
    class_ids = np.unique(labels, return_inverse=True)[1].tolist()
    plans = list(EpisodeSampler(class_ids, n_way=3, k_shot=k_shot, n_query=2, num_episodes=4, seed=0))
    for plan in plans:
        accuracy = episode_accuracy(found, plan, {i: i for i in range(len(clips))})
        support, query = plan.indices[:plan.num_support], plan.indices[plan.num_support:]
        classifier = FewShotClassifier(method="motion", cache=cache).fit([clips[i] for i in support],
                                                                         [labels[i] for i in support])
        right = classifier.predict([clips[i] for i in query]) == np.array([labels[i] for i in query])
        assert right.mean() == accuracy


def test_the_nearest_example_decides_and_looks_count_beside_motion():
    sampler = EpisodeSampler([0, 0, 1, 1], n_way=2, k_shot=1, n_query=1, num_episodes=20, seed=0)
    plans, rows = list(sampler), {i: i for i in range(4)}
    same = np.array([[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 1], [9, 9, 1, 0]], float)
    amount = np.ones(4)
    assert {episode_accuracy(Distances(same, None, amount), plan, rows) for plan in plans} == {1.0}
    assert {episode_accuracy(Distances(-same, None, amount), plan, rows) for plan in plans} == {0.0}
    assert {episode_accuracy(Distances(same, -3 * same, amount), plan, rows) for plan in plans} == {0.0}
    assert {episode_accuracy(Distances(same, -1.5 * same, amount), plan, rows) for plan in plans} == {1.0}


def test_the_tool_scores_the_test_episodes_of_a_config_by_videos_alone(tiny_data, tmp_path, capsys):
    backbone = "timm:tf_efficientnet_lite0:2"
    argv = ["--backbone", backbone, "--cache", str(tmp_path / "cache"), "--json", str(tmp_path / "figures.json"),
            "--out", str(tmp_path / "answers"),
            *command(tiny_data, tmp_path / "out", DATA__PATH_TO_TROKEN_PT_DATA=tmp_path / "nowhere")]
    assert descriptor_baseline.main(argv) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[:3]] == ["motion", "looks", "both"]
    assert said[3] == "3-way 1-shot, untrained, over 30 episodes of 15 clips; chance 33.3 %"
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["episodes"] == 30 and figures["backbone"] == backbone
    assert said[0] == (f"motion {100 * figures['motion']['accuracy']:.2f} ± "
                       f"{100 * figures['motion']['interval']:.2f} %")
    assert figures["motion"]["accuracy"] > 0.5
    both = RunFolder.read(tmp_path / "answers/both")
    assert both.results["accuracy"] == both.outcomes[1].accuracy.mean() == figures["both"]["accuracy"]
    assert descriptor_baseline.main(argv) == 0 and capsys.readouterr().out.splitlines() == said  # from the cache
    assert descriptor_baseline.main(["--backbone", "none", *argv[2:]]) == 0
    assert capsys.readouterr().out.splitlines() == [said[0], said[3]]


def test_a_clip_that_cannot_be_read_ends_it_in_one_line(tmp_path, capsys):
    for number in range(4):
        (tmp_path / f"test/{'ab'[number % 2]}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"test/{'ab'[number % 2]}/{number}.mp4").write_bytes(b"nothing")
    assert descriptor_baseline.main(["--cache", str(tmp_path / "cache"), "--cfg", "folder_small", "FEW_SHOT.N_WAY", "2",
                                     "DATA.PATH_TO_DATA_DIR", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "Cannot read video" in error and error.count("\n") == 1


def test_it_draws_the_episodes_that_a_run_is_tested_on(tiny_data, tmp_path):
    cfg = load_cfg(*(lambda given: (given[1], given[2:]))(command(tiny_data, tmp_path, RNG_SEED=3)))
    sampler = EpisodeSampler.from_config(cfg, [0, 0, 1, 1, 2, 2], split="test")
    assert (sampler.seed, sampler.n_way, sampler.k_shot, sampler.num_episodes) == ("3/test", 3, 1, 30)
