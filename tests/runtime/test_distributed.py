"""Several processes give what one gives."""

import warnings

import pytest
import torch
from processes import in_processes
from small_task import COMBINATIONS, MATCHING, episode, model
from tiny import APPEARANCE, MOTION, tiny_cfg

from trokens.engine.prepare import prepare
from trokens.engine.run import run_experiment
from trokens.engine.trainer import parallel
from trokens.fewshot.task import FewShotTask
from trokens.runtime.distributed import (
    StopFlag,
    barrier,
    is_main,
    merge_rows,
    pick_device,
    rank,
    sum_over_processes,
    world_size,
)


def collectives(own: int) -> dict:
    merged = {n: merge_rows(torch.arange(n).view(-1, 1)[own::3].double(), n).tolist() for n in (1, 2, 3, 4, 7)}
    flag, seen = StopFlag(), []
    for step in range(4):
        flag.requested = flag.requested or (own == 1 and step == 2)
        flag.start()
        seen.append(flag.result())
    mine = torch.tensor([float(own)])
    total = sum_over_processes(mine)
    barrier()
    return {"merged": merged, "stopped": seen, "total": total.item(), "mine": mine.item(),
            "who": (rank(), world_size(), is_main())}


def test_three_processes_share_rows_flags_and_sums():
    for own, got in enumerate(in_processes(3, collectives)):
        assert got["who"] == (own, 3, own == 0)
        assert all(rows == [[i] for i in range(n)] for n, rows in got["merged"].items())
        assert got["stopped"] == [False, False, True, True]  # one was asked, all stop at the same step
        assert (got["total"], got["mine"]) == (3.0, own)


def test_one_process_needs_no_setup(monkeypatch):
    rows = torch.arange(3)
    assert merge_rows(rows, 3) is rows and sum_over_processes(rows).tolist() == [0, 1, 2]
    flag = StopFlag()
    flag.start()
    assert not flag.result()
    flag.requested = True
    assert flag.result()
    assert (rank(), world_size()) == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert (rank(), world_size(), is_main()) == (2, 4, False)


def test_a_process_without_a_gpu_of_its_own_is_an_error(monkeypatch):
    assert pick_device(0) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device(1) == torch.device("cuda", 1) and pick_device(0) == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match=r"Process 2 .* has no GPU of its own: it has 2\. .*in point extraction"):
        pick_device(1)


# 15 test clips in 4, 3 and 1 batches: two processes have as many, one more than the other, or one for both.
RUNS = [(MOTION, 4, 1), (APPEARANCE, 5, 1), (MOTION, 16, 1), (MOTION, 5, 2)]  # options, clips a batch, shots


def score(own: int, data, folder) -> list[dict]:
    results = []
    for options, batch, k_shot in RUNS:
        cfg = tiny_cfg(data, folder / f"{world_size()}_{batch}_{k_shot}", options, TRAIN__ENABLE=False,
                       MODEL__BACKBONE_BATCH=batch, FEW_SHOT__K_SHOT=k_shot, FEW_SHOT__TEST_EPISODES=31)
        results.append(run_experiment(cfg, torch.device("cpu")))
    return results


def test_two_processes_give_the_test_accuracy_of_one(tiny_data, tmp_path):
    two = in_processes(2, score, tiny_data, tmp_path)
    one = score(0, tiny_data, tmp_path)
    for single, *double in zip(one, *two, strict=True):
        assert {result.pop("processes") for result in double} == {2} and single.pop("processes") == 1
        for result in [single, *double]:
            result.pop("commit")
        assert double == [single, single]
    assert len({result["accuracy"] for result in one}) > 1  # the figures could have differed


def train(own: int, data, folder, everyone: bool) -> tuple[int, list[int]]:
    cfg = tiny_cfg(data, folder, NUM_GPUS=0, FEW_SHOT__TRAIN_EPISODES=5, FEW_SHOT__TRAIN_OG_EPISODES=everyone,
                   SOLVER__MAX_EPOCH=1, SOLVER__WARMUP_EPOCHS=0, TEST__ENABLE=False)
    run_experiment(cfg, torch.device("cpu"))
    sampler = prepare(cfg, torch.device("cpu")).sampler
    return len(sampler), [plan.indices for plan in sampler]


def warnings_of_a_step(own: int) -> dict[str, list[str]]:
    found = {}
    for name, options in COMBINATIONS.items():
        one, features = episode(options.get("feature_dim", 16))
        task = parallel(FewShotTask(model(**options), matching=MATCHING), torch.device("cpu"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):  # the second step finds a gradient that is missing in the first
                task(one, features if options.get("appearance", True) else None)["loss"].backward()
        found[name] = [str(w.message) for w in caught]
    return found


def test_every_model_takes_a_step_in_two_processes_without_a_warning():
    for found in in_processes(2, warnings_of_a_step):
        assert found == {name: [] for name in COMBINATIONS}


@pytest.mark.parametrize(("everyone", "steps"), [(True, 5), (False, 2)])
def test_processes_train_on_episodes_of_their_own(tiny_data, tmp_path, everyone, steps):
    (first, a), (second, b) = in_processes(2, train, tiny_data, tmp_path, everyone)
    assert first == second == steps
    assert not set(a) & set(b)
    state = torch.load(tmp_path / "checkpoints/checkpoint_epoch_00001.pyth", weights_only=True)
    assert {s["step"].item() for s in state["optimizer_state"]["state"].values()} == {steps}
