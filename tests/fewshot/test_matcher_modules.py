"""Matchers in use: gradients, the bank, and those with parameters as a part of the model."""

import pytest
import torch
from processes import in_processes
from small_matchers import FUNCTIONS, MODULES, made
from small_task import MATCHING, D, T, episode, model
from tiny import RANDOM, assert_same_run, flat, stopped_at_every_step, tiny_cfg

from trokens import build_model, match
from trokens.engine.run import run_experiment
from trokens.engine.trainer import parallel
from trokens.fewshot.bank import TokenBank
from trokens.fewshot.episodes import EpisodeSampler
from trokens.fewshot.matchers import clip_features, reads_shots
from trokens.fewshot.task import FewShotTask
from trokens.models.build import MODEL_KEYS
from trokens.models.checkpoint import checkpoint_dir, load_checkpoint
from trokens.models.weights import load_weights, misfit


@pytest.mark.parametrize("name", [*FUNCTIONS, *MODULES])
def test_gradients_are_finite_and_reach_every_parameter(name):
    matcher = made(name)
    for tokens in (torch.randn(8, 5, 6, 8), -torch.ones(8, 5, 6, 8)):  # of the last, ReLU leaves nothing
        tokens.requires_grad_()
        logits = match(tokens[6:], tokens[:6], torch.arange(6) % 3, 3, matcher=matcher)
        torch.nn.functional.cross_entropy(logits, torch.tensor([1, 2])).backward()
        assert logits.isfinite().all() and tokens.grad.isfinite().all()
    if name in MODULES:
        assert all(p.grad is not None and p.grad.isfinite().all() for p in matcher.parameters())


@pytest.mark.parametrize("k_shot", [1, 3])
@pytest.mark.parametrize("name", [*FUNCTIONS, *MODULES])
def test_the_bank_gives_what_match_gives(name, k_shot):
    matcher, tokens = made(name, length=4), torch.randn(20, 4, 6, 8)
    options = {"aggregation": "spatial", "norm": "none", "prototype": "published", "matcher": matcher}
    aggregated = TokenBank.can_aggregate(k_shot, "published", matcher)
    assert aggregated == (name in MODULES or k_shot == 1)
    banks = [TokenBank(tokens, range(20), is_aggregated=False, **options)]
    if aggregated:
        banks.append(TokenBank(clip_features(tokens), range(20), is_aggregated=True, **options))
    plans = list(EpisodeSampler([i // 4 for i in range(20)], n_way=3, k_shot=k_shot, n_query=1, num_episodes=4, seed=0))
    for number, plan in enumerate(plans):
        rows, way, support = torch.tensor(plan.indices), torch.tensor(plan.way), plan.num_support
        direct = match(tokens[rows[support:]], tokens[rows[:support]], way[:support], 3, matcher=matcher)
        for bank in banks:
            torch.testing.assert_close(bank.score(plans)[number], direct, atol=1e-4, rtol=1e-4)
    assert ((banks[0].accuracy(plans) >= 0) & (banks[0].accuracy(plans) <= 1)).all()


@pytest.mark.parametrize("name", MODULES)
def test_shots_are_sorted_by_their_class(name):
    matcher, tokens = made(name, length=4), torch.randn(9, 4, 6, 8)
    mixed, order = torch.tensor([2, 0, 1, 0, 2, 1]), [1, 3, 2, 5, 0, 4]
    torch.testing.assert_close(match(tokens[6:], tokens[:6], mixed, 3, matcher=matcher),
                               match(tokens[6:], tokens[order], torch.tensor([0, 0, 1, 1, 2, 2]), 3, matcher=matcher))
    for way in ([0, 0, 0, 1, 1, 2], [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 3]):
        with pytest.raises(ValueError, match=r"support_way gives the classes 0 to 2 \[.*equally many of each\.$"):
            match(tokens[6:], tokens[:6], torch.tensor(way), 3, matcher=matcher)


def test_the_name_of_a_matcher_with_parameters_is_not_enough():
    assert reads_shots(made("trx")) and not reads_shots("otam")
    with pytest.raises(ValueError, match="matcher is 'trx', which has parameters; give the module"):
        match(torch.zeros(1, 4, 6, 8), torch.zeros(5, 4, 6, 8), torch.arange(5), matcher="trx")


@pytest.mark.parametrize("name", MODULES)
def test_the_rest_of_a_model_is_drawn_as_without_its_matcher(tiny_data, name):
    models = []
    for matcher in ("bi_mhm", name):
        torch.manual_seed(0)
        models.append(build_model(tiny_cfg(tiny_data, tiny_data, FEW_SHOT__MATCHER=matcher, MODEL__NUM_CLASSES=6)))
    plain, own = (one.state_dict() for one in models)
    assert models[0].matcher is None and any(key.startswith("matcher.") for key in own)
    assert flat(plain) == flat({key: value for key, value in own.items() if not key.startswith("matcher.")})


@pytest.mark.parametrize("name", MODULES)
def test_weights_take_the_matcher_along_and_tell_where_there_is_another(tiny_data, name):
    first, second, plain = (
        build_model(tiny_cfg(tiny_data, tiny_data, FEW_SHOT__MATCHER=matcher, FEW_SHOT__TRX_WIDTH=8,
                             MODEL__NUM_CLASSES=6)) for matcher in (name, name, "bi_mhm"))
    assert not load_weights(second, first.state_dict()).missing
    tokens, way = torch.randn(6, 4, 8, 16), torch.arange(3)
    logits = [match(tokens[3:], tokens[:3], way, 3, matcher=one.matcher) for one in (first, second)]
    assert torch.equal(*logits) and logits[0].isfinite().all()
    missing = load_weights(first, plain.state_dict()).missing
    assert missing == [key for key in first.state_dict() if key.startswith("matcher.")]
    assert load_weights(plain, first.state_dict()).unexpected == missing
    assert misfit(missing, [], MODEL_KEYS).endswith("set matcher (FEW_SHOT.MATCHER) as in their training")


@pytest.mark.parametrize("name", MODULES)
def test_a_task_trains_the_models_own_matcher(name):
    one, patch_features = episode()
    trokens = model()
    trokens.matcher = made(name, D, T)
    task = FewShotTask(trokens, matching=MATCHING | {"matcher": name}).train()
    out = task(one, patch_features)
    out["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in task.parameters())
    tokens = trokens(one.clips, patch_features)[1]
    torch.testing.assert_close(out["logits"], match(tokens[3:], tokens[:3], one.way[:3], 3, matcher=trokens.matcher))


def averaged_gradients(own: int) -> dict[str, list[bytes]]:
    found = {}
    for name in MODULES:
        one, patch_features = episode()
        trokens = model()
        trokens.matcher = made(name, D, T)
        task = parallel(FewShotTask(trokens, matching=MATCHING), torch.device("cpu"))
        for _ in range(2):  # the second step finds a gradient that is missing in the first
            task(one, patch_features + own)["loss"].backward()
        found[name] = [p.grad.numpy().tobytes() for p in trokens.matcher.parameters()]
    return found


def test_two_processes_average_the_matchers_gradients():
    first, second = in_processes(2, averaged_gradients)
    assert first == second and all(first.values())


@pytest.mark.parametrize("name", MODULES)
def test_training_goes_on_with_the_matchers_weights(tiny_data, tmp_path, name):
    options = RANDOM | {"FEW_SHOT.MATCHER": name, "FEW_SHOT.K_SHOT": 2, "FEW_SHOT.TRAIN_EPISODES": 2,
                        "TEST.ENABLE": True}

    def run(folder):
        return run_experiment(tiny_cfg(tiny_data, tmp_path / folder, options), torch.device("cpu"))

    result = run("undisturbed")
    assert stopped_at_every_step(lambda: run("stopped"))[-1] == "done"
    assert_same_run(tmp_path / "undisturbed", tmp_path / "stopped")
    folder = checkpoint_dir(tmp_path / "undisturbed")
    states = [load_checkpoint(folder / f"checkpoint_epoch_0000{n}.pyth")["model_state"] for n in (1, 2)]
    learned = [key for key in states[0] if key.startswith("matcher.")]
    assert learned and all(not torch.equal(states[0][key], states[1][key]) for key in learned)
    assert result["k_shot"] == 2 and 0 <= result["accuracy"] <= 1
