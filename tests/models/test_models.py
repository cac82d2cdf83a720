import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trokens.config import OPTIONS
from trokens.models.blocks import Attention, DividedBlock
from trokens.models.motion import CrossMotionModule, HodModule, MotionMLP, cross_motion
from trokens.models.tokens import sample_features
from trokens.models.trokens import CLASS_TOKENS, Trokens
from trokens.models.weights import load_weights
from trokens.points.mutual import mutual_points
from trokens.structures import Clips

B, T, N, D, S = 2, 4, 6, 16, 3
SMALL = {"embed_dim": D, "grid": S, "num_frames": T, "num_points": N, "num_heads": 2}


def build(**options):
    torch.manual_seed(0)
    return Trokens(5, **{**SMALL, "hod": {"bins": 8}, **options}).eval()


@pytest.fixture
def inputs():
    g = torch.Generator().manual_seed(0)
    features = torch.randn(B, T, S, S, D, generator=g)
    tracks = torch.rand(B, T, N, 2, generator=g) * 2.4 - 1.2
    visibility = torch.rand(B, T, N, generator=g) > 0.3
    query_mask = torch.arange(T)[:, None] >= torch.tensor([0, 0, 1, 2, 3, 1])
    return features, tracks, visibility, query_mask.expand(B, -1, -1)


# golden numbers ------------------------------------------------------------------------------------------------------

def test_the_whole_model_gives_the_golden_numbers(golden):
    data = load_file(golden / "model_n64.safetensors")
    model = Trokens(10, embed_dim=384, num_points=64, hod={}, mask="query", drop_path=0.2).eval()
    load_weights(model, golden / "model_n64_weights.safetensors")
    seen = []
    model.pre_logits.register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.no_grad():
        logits, tokens = model.encode(data["dino_feats"], data["pred_tracks"], data["pred_visibility"],
                                      data["pred_query_mask"])
    assert torch.allclose(seen[0], data["cls_out"], atol=1e-5)
    assert torch.allclose(logits, data["logits"], atol=1e-4)
    assert torch.allclose(tokens, data["patch_tokens"], atol=1e-4)
    hist = model.hod_motion_module.histogram(data["pred_tracks"].transpose(1, 2))
    assert torch.allclose(hist.double(), data["hod_feat"], atol=1e-5)


def check_module(module, call, data, name, out):
    """Outputs and gradients of ``(out * linspace(-1, 1)).sum()``."""
    got = call(load_module(module, data, name.split("_")[0]))
    assert torch.allclose(got, out, atol=1e-5)
    (got * torch.linspace(-1, 1, got.numel()).view_as(got)).sum().backward()
    for key, parameter in module.named_parameters():
        want = data[f"{name}_grad.{key}"]
        assert torch.allclose(parameter.grad, want, atol=max(1e-4, 1e-5 * want.abs().max().item())), key


@pytest.fixture
def motion(small_golden):
    return {name: torch.from_numpy(x) for name, x in np.load(small_golden / "motion.npz").items()}


def load_module(module, data, name):
    module.load_state_dict({key.removeprefix(f"{name}_w."): value for key, value in data.items()
                            if key.startswith(f"{name}_w.")})
    return module


def test_hod_module_gives_the_golden_outputs(motion):
    got = load_module(HodModule(48), motion, "hod").embed(motion["hod_in"]).transpose(1, 2)
    assert torch.allclose(got, motion["hod_out"], atol=1e-5)


@pytest.mark.parametrize("case", ["clean", "nan"])
@pytest.mark.parametrize("form", ["plain", "fast"])
def test_cross_motion_gives_the_golden_outputs(motion, case, form):
    module = load_module(CrossMotionModule(24, 48), motion, "cross")
    inputs = motion[f"cross_{case}_tracks"], motion[f"cross_{case}_vis_in"]
    got = module(*inputs) if form == "fast" else module.plain(cross_motion(*inputs))
    assert torch.allclose(got, motion[f"cross_{case}_out"], atol=1e-5)


def test_hod_module_gives_the_golden_numbers(golden):
    data = load_file(golden / "motion_modules.safetensors")
    check_module(HodModule(48), lambda m: m.embed(data["hod_in"]).transpose(1, 2), data, "hod", data["hod_out"])


@pytest.mark.parametrize("case", ["clean", "nan"])
def test_cross_motion_gives_the_golden_numbers(golden, case):
    data = load_file(golden / "motion_modules.safetensors")
    tracks, visibility = data[f"cross_{case}_tracks"], data[f"cross_{case}_vis_in"]
    before = tracks.clone(), visibility.clone()
    check_module(CrossMotionModule(24, 48), lambda m: m(tracks, visibility), data, f"cross_{case}",
                 data[f"cross_{case}_out"])
    assert torch.equal(tracks.nan_to_num(9.0), before[0].nan_to_num(9.0)) and torch.equal(visibility, before[1])


# motion --------------------------------------------------------------------------------------------------------------

def test_cross_motion_relates_every_pair(inputs):
    _, tracks, visibility, _ = inputs
    got = cross_motion(tracks, visibility)
    for i, j in itertools.product(range(N), repeat=2):
        seen = (visibility[:, :, i] & visibility[:, :, j])[..., None]
        assert torch.equal(got[:, :, i, 2 * j:2 * j + 2], (tracks[:, :, i] - tracks[:, :, j]) * seen)


def test_cross_motion_equals_its_definition(inputs):
    _, tracks, visibility, _ = inputs
    tracks = tracks.clone()
    tracks[0, 1, 2, 0] = torch.nan
    before = tracks.clone(), visibility.clone()
    module = CrossMotionModule(N, D)
    assert torch.allclose(module(tracks, visibility), module.plain(cross_motion(tracks, visibility)), atol=1e-5)
    assert torch.equal(tracks.isnan(), before[0].isnan()) and torch.equal(visibility, before[1])


def test_the_motion_mlp_equals_its_definition():
    module, x = MotionMLP(6, D), torch.randn(4, 6)
    assert torch.allclose(module.embed(x), module.plain(x), atol=1e-5)


class LargestTensor(TorchDispatchMode):
    """Keeps the size of the largest tensor that any operation gives, forward or backward."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.numel = max([self.numel, *(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))])
        return out


def test_cross_motion_forms_no_tensor_of_all_pairs_and_has_the_plain_forms_gradients():
    points, frames, dim = 64, 3, 4  # all pairs of a frame are more numbers than its hidden layer
    tracks, visibility = torch.rand(1, frames, points, 2) * 2 - 1, torch.rand(1, frames, points) > 0.3
    module, largest, gradients = CrossMotionModule(points, dim), {}, {}
    for name, form in {"plain": lambda *x: module.plain(cross_motion(*x)), "ours": module}.items():
        with LargestTensor() as seen:
            out = form(tracks, visibility)
            (out * torch.linspace(-1, 1, out.numel()).view_as(out)).mean().backward()
        largest[name], gradients[name] = seen.numel, [p.grad.clone() for p in module.parameters()]
        module.zero_grad()
    assert largest["ours"] <= frames * points * 4 * dim < frames * points**2 * 2 <= largest["plain"]
    for ours, plain in zip(gradients["ours"], gradients["plain"], strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)


def test_cross_motion_is_translation_invariant_even_far_away_and_under_autocast(inputs):
    _, tracks, visibility, _ = inputs
    module = CrossMotionModule(N, D)
    want = module(tracks, visibility)
    assert torch.allclose(module(tracks + torch.tensor([3.0, -40.0]), visibility), want, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        far = module(tracks + torch.tensor([3.0, -40.0]), visibility)
        assert torch.allclose(far, module(tracks, visibility), atol=0.05)


def test_cross_motion_of_another_number_of_points_is_named(inputs):
    _, tracks, visibility, _ = inputs
    with pytest.raises(ValueError, match=r"num_points is 7 .* clips of 6 points"):
        CrossMotionModule(N + 1, D)(tracks, visibility)


@pytest.mark.parametrize("options", [{"per_frame": False}, {"pyramid_levels": 3}, {"pyramid_levels": 2, "bins": 8}])
def test_clipwide_hod_is_repeated_over_frames(inputs, options):
    _, tracks, visibility, _ = inputs
    assert HodModule(D, **options)(tracks).shape == (B, 1, N, D)
    model = build(hod=options, cross_motion=False, appearance=False)
    tokens = model.embed_points(None, tracks, visibility)
    assert tokens.shape == (B, T, N, D) and torch.equal(tokens[:, 0], tokens[:, 3])


# reading features ----------------------------------------------------------------------------------------------------

def test_a_coordinate_ramp_read_bilinearly_returns_the_tracks():
    tracks = torch.rand(2, 3, 20, 2) * 2 - 1
    axis = torch.linspace(-1, 1, 7)
    ramp = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).expand(2, 3, -1, -1, -1)
    assert torch.allclose(sample_features(ramp, tracks, "bilinear"), tracks, atol=1e-6)


@pytest.mark.parametrize("mode", OPTIONS["MODEL.FEAT_EXTRACT_MODE"].choices)
def test_position_embeddings_equal_those_added_to_the_features(inputs, mode):
    features, tracks, visibility, _ = inputs
    model = build(hod=None, cross_motion=False, sample_mode=mode)
    maps = model.space_pos_embed[:, None] + model.time_pos_embed[:, :, None]  # (1, T, S*S, D)
    want = sample_features(features + maps.unflatten(2, (S, S)), tracks, mode)
    assert torch.allclose(model.embed_points(features, tracks, visibility), want, atol=1e-6)


def test_points_outside_the_frame_and_nan_read_zero(inputs):
    features, tracks, _, _ = inputs
    tracks = tracks.clone()
    tracks[0, 0, 0], tracks[0, 0, 1] = 3.0, torch.nan
    assert not sample_features(features, tracks)[0, 0, :2].any()


def test_lost_points_leave_outputs_and_gradients_finite(inputs):
    features, tracks, _, _ = inputs
    nowhere = torch.zeros(B, T, N, dtype=torch.bool)
    for mask in ("query", "visibility", "none"):
        model = build(mask=mask)
        outputs = model.encode(features, torch.full_like(tracks, torch.nan), nowhere, nowhere)
        sum(x.square().sum() for x in outputs).backward()
        assert all(x.isfinite().all() for x in outputs)
        assert all(p.grad.isfinite().all() for p in model.parameters())


def test_projecting_what_is_read_is_projecting_the_map(inputs):
    _, tracks, visibility, _ = inputs
    features = torch.randn(B, T, S, S, 10)
    model = build(feature_dim=10, hod=None, cross_motion=False, base_pos_embed=False, point_pos_embed=False)
    want = sample_features(model.proj(features), tracks)
    assert torch.allclose(model.embed_points(features, tracks, visibility), want, atol=1e-6)


# attention -----------------------------------------------------------------------------------------------------------

def test_a_row_without_valid_key_gives_zeros_and_finite_gradients():
    attention, x = Attention(D, 2), torch.randn(3, T, 2, D, requires_grad=True)
    keys = torch.ones(3, T, 2, dtype=torch.bool)
    keys[1, :, 0] = False
    out = attention(x, keys)
    assert torch.equal(out[1, :, 0], attention.proj.bias.expand(T, -1))
    assert torch.allclose(out[0], attention(x)[0], atol=1e-6)
    assert torch.allclose(out[1, :, 1], attention(x)[1, :, 1], atol=1e-6)
    out.sum().backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in attention.parameters())


def plain_attention(attention, x, keys):
    q, k, v = (part.unflatten(-1, (2, -1)).transpose(0, 1) for part in attention.qkv(x).chunk(3, -1))  # (heads, L, d)
    weight = (q @ k.transpose(1, 2) * q.shape[-1] ** -0.5).masked_fill(~keys, -torch.inf).softmax(-1)
    return attention.proj((weight.nan_to_num(0) @ v).transpose(0, 1).flatten(1))


def test_a_block_equals_its_definition():
    torch.manual_seed(1)
    block = DividedBlock(D, 2, drop_path=0.5).eval()
    cls, tokens, mask = torch.randn(1, 1, D), torch.randn(1, T, N, D), torch.rand(1, T, N) > 0.4
    got_cls, got = block(cls, tokens, mask)

    x = tokens[0].clone()
    for n in range(N):
        along = plain_attention(block.temporal_attn, block.temporal_norm1(tokens[0, :, n]), mask[0, :, n])
        x[:, n] = tokens[0, :, n] + block.temporal_fc(along)
    seen, y = [], x.clone()
    for t in range(T):
        frame = plain_attention(block.attn, block.norm1(torch.cat([cls[0], x[t]])),
                                torch.cat([torch.tensor([True]), mask[0, t]]))
        seen.append(frame[0])
        y[t] = x[t] + frame[1:]
    z = cls[0] + torch.stack(seen).mean(0)
    assert torch.allclose(got[0], y + block.mlp(block.norm2(y)), atol=1e-5)
    assert torch.allclose(got_cls[0], z + block.mlp(block.norm2(z)), atol=1e-5)


def test_without_a_class_token_the_classifier_reads_the_mean_of_the_tokens_that_count(inputs):
    features, tracks, visibility, query_mask = inputs
    nothing = torch.zeros_like(query_mask)
    for counts, mask in ((torch.ones_like(query_mask), "none"), (query_mask, "query"), (nothing, "query")):
        model = build(class_token="none", mask=mask, depth=2)
        logits, tokens = model.encode(features, tracks, visibility, counts)
        for b in range(B):
            total, count = torch.zeros(D), 0
            for t, n in itertools.product(range(T), range(N)):
                if counts[b, t, n]:
                    total, count = total + tokens[b, t, n], count + 1
            assert torch.allclose(logits[b], model.head(model.pre_logits(total / max(count, 1))), atol=1e-5)
        assert "cls_token" not in model.state_dict()


def test_a_block_without_a_class_token_gives_what_tokens_alone_attend_to():
    torch.manual_seed(1)
    block = DividedBlock(D, 2).eval()
    tokens, mask = torch.randn(1, T, N, D), torch.rand(1, T, N) > 0.4
    none, got = block(torch.empty(1, 0, D), tokens, mask)
    assert none.shape == (1, 0, D)
    along = torch.stack([tokens[0, :, n] + block.temporal_fc(plain_attention(
        block.temporal_attn, block.temporal_norm1(tokens[0, :, n]), mask[0, :, n])) for n in range(N)], 1)
    for t in range(T):
        y = along[t] + plain_attention(block.attn, block.norm1(along[t]), mask[0, t])
        assert torch.allclose(got[0, t], y + block.mlp(block.norm2(y)), atol=1e-5)


def test_a_class_token_of_patches_starts_as_their_projected_mean(inputs):
    _, tracks, visibility, query_mask = inputs
    features = torch.randn(B, T, S, S, 10)
    model = build(feature_dim=10, class_token="patches")
    got = model.first_class_token(features, torch.empty(B, T, N, D))
    for b in range(B):
        total = sum(features[b, t, y, x] for t, y, x in itertools.product(range(T), range(S), range(S)))
        assert torch.allclose(got[b, 0], model.proj.weight @ (total / (T * S * S)), atol=1e-5)
    learned = build(feature_dim=10)
    load_weights(learned, {**model.state_dict(), "cls_token": got[:1]})
    one = features[:1], tracks[:1], visibility[:1], query_mask[:1]
    assert torch.allclose(model.encode(*one)[0], learned.encode(*one)[0], atol=1e-6)


@pytest.mark.parametrize("class_token", CLASS_TOKENS)
@pytest.mark.parametrize("mask", ["query", "visibility"])
def test_masked_points_cannot_change_visible_outputs(inputs, mask, class_token):
    features, tracks, visibility, query_mask = inputs
    model = build(mask=mask, hod=None, class_token=class_token)  # HoD looks at tracks whatever their visibility
    counts = query_mask if mask == "query" else visibility
    visible = counts if mask == "visibility" else visibility & query_mask
    moved = torch.where(counts[..., None], tracks, torch.rand_like(tracks))
    before, after = (model.encode(features, xy, visible, query_mask) for xy in (tracks, moved))
    assert torch.allclose(before[0], after[0], atol=1e-6)
    assert torch.allclose(before[1][counts], after[1][counts], atol=1e-6)
    assert not torch.allclose(before[1][~counts], after[1][~counts], atol=1e-3)
    unmasked = build(mask="none", hod=None)
    assert not torch.allclose(unmasked.encode(features, tracks, visible, query_mask)[0],
                              unmasked.encode(features, moved, visible, query_mask)[0], atol=1e-6)


def test_permuting_points_permutes_tokens(inputs):
    features, tracks, visibility, query_mask = inputs
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    model = build(mask="visibility")
    logits, tokens = model.encode(features, tracks, visibility, query_mask)
    with torch.no_grad():  # the cross-motion layer has columns of its own for each point: they move along
        weight = model.cross_motion_module.fc2["c_fc"].weight
        weight.copy_(weight.unflatten(1, (N, 2))[:, order].flatten(1))
    got = model.encode(features, tracks[:, :, order], visibility[:, :, order], query_mask[:, :, order])
    assert torch.allclose(got[0], logits, atol=1e-5) and torch.allclose(got[1], tokens[:, :, order], atol=1e-5)


def test_two_runs_are_identical(inputs):
    first, second = (build(depth=2, pos_drop=0.1, drop=0.1, attn_drop=0.1, drop_path=0.5).train() for _ in range(2))
    for model in (first, second):
        torch.manual_seed(4)
        sum(x.square().sum() for x in model.encode(*inputs)).backward()
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(first.parameters(), second.parameters(), strict=True))


# the parameters ------------------------------------------------------------------------------------------------------

COMBINATIONS = [{"appearance": a, "hod": h, "cross_motion": c, "base_pos_embed": b, "point_pos_embed": p}
                for a, h, c, b, p in itertools.product([True, False], [None, {}], *[[True, False]] * 3)
                if a or c or h is not None]


def test_every_trainable_parameter_gets_a_gradient(inputs):
    others = [{"hod": {"per_frame": False}}, {"hod": {"pyramid_levels": 2}}, {"feature_dim": D, "embed_dim": 2 * D},
              {"depth": 2, "drop_path": 0.1}, {"class_token": "none"},
              {"class_token": "patches", "feature_dim": D, "embed_dim": 2 * D}]
    for options in [*COMBINATIONS, *others]:
        model = build(**options).train()
        torch.manual_seed(0)
        sum(x.square().sum() for x in model.encode(*inputs)).backward()
        without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert not without, (options, without)


def test_weights_start_as_specified():
    model = build(embed_dim=64, num_heads=2, depth=2)
    for name, p in model.named_parameters():
        if name.startswith(("blocks", "head", "pre_logits")) and p.ndim == 2:
            assert p.abs().max() > 0.04 and 0.018 < p.std() < 0.022, name
        elif name.startswith(("blocks", "head", "pre_logits")) and name.endswith("bias"):
            assert not p.any(), name
    assert 0.2 < model.cls_token.abs().max() <= (6 / 128) ** 0.5  # Xavier over (1, 1, 64)
    assert model.blocks[0].drop_path.drop_prob == 0


def test_shapes_that_do_not_fit_are_named(inputs):
    features, tracks, visibility, query_mask = inputs
    model = build()
    with pytest.raises(ValueError, match="visibility is"):
        model.encode(features, tracks, visibility[:, :, 1:], query_mask)
    with pytest.raises(ValueError, match=r"tracks is .* with T=4"):
        model.encode(features[:, 1:], tracks[:, 1:], visibility[:, 1:], query_mask[:, 1:])
    with pytest.raises(ValueError, match=r"patch_features is .* with S=3"):
        model.encode(features[:, :, :2, :2], tracks, visibility, query_mask)
    with pytest.raises(ValueError, match=r"patch_features is .* with F=16"):
        model.encode(features[..., :3], tracks, visibility, query_mask)
    with pytest.raises(ValueError, match="patch_features are missing"):
        model.encode(None, tracks, visibility, query_mask)


@pytest.mark.parametrize("options, message", [
    ({"appearance": False, "hod": None, "cross_motion": False}, "appearance is off"),
    ({"appearance": False, "class_token": "patches"}, "class_token is 'patches', and appearance is off"),
    ({"class_token": "mean"}, "class_token is 'mean'"),
    ({"appearance": False, "patch_points": {}}, "patch_points are asked for, and appearance is off"),
    ({"num_heads": 3}, "num_heads is 3"), ({"head_act": "sine"}, "head_act is 'sine'"),
    ({"sample_mode": "cubic"}, "sample_mode is 'cubic'"), ({"embed_dim": 0}, "embed_dim is 0"),
    ({"hod": {"bins": 1}}, "bins is 1"), ({"hod": {"binning": "x"}}, "binning is 'x'")])
def test_impossible_options_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


# with a backbone -----------------------------------------------------------------------------------------------------

class Pixels(nn.Module):
    """A backbone of width 3: the mean color of each cell, times a weight."""

    embed_dim = 3

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.drop = nn.Dropout(0.5)
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]), persistent=False)
        self.register_buffer("std", torch.tensor([0.5, 0.5, 0.25]), persistent=False)

    def forward(self, frames):
        return self.drop(nn.functional.adaptive_avg_pool2d(frames, S).permute(0, 2, 3, 1) * self.scale)


def clips_of(inputs):
    _, tracks, visibility, query_mask = inputs
    video = torch.randint(0, 256, (B, T, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Clips(video, tracks, visibility, query_mask, torch.zeros(B).long(), torch.arange(B))


def test_frames_are_scaled_and_normalized_on_the_way_to_the_backbone(inputs):
    clips, model = clips_of(inputs), build(backbone=Pixels())
    want = nn.functional.avg_pool2d(clips.video.float().flatten(0, 1) / 255, 4).permute(0, 2, 3, 1)
    want = (want - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 0.5, 0.25])
    assert torch.allclose(model.patch_features(clips.video), want.unflatten(0, (B, T)), atol=1e-5)


def test_points_of_patches_take_the_place_of_the_clips_own(inputs):
    clips, model = clips_of(inputs), build(backbone=Pixels(), patch_points={"method": "random"})
    bare = replace(clips, tracks=None, visibility=None, query_mask=None, seed=torch.tensor([4, 5]))
    features = model.patch_features(clips.video)
    want = model.encode(features, *mutual_points(features, bare.seed, N, method="random"))
    for got in (model(bare), model(replace(clips, seed=bare.seed))):
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_chunks_and_cached_features_do_not_change_outputs(inputs, batch):
    clips, model = clips_of(inputs), build(backbone=Pixels(), backbone_batch=batch)
    want = build(backbone=Pixels())(clips)
    features = model.patch_features(clips.video)
    assert features.shape == (B, T, S, S, 3)  # unprojected: fit for a cache
    for logits, tokens in (model(clips), model(SimpleNamespace(**{**vars(clips), "video": None}), features)):
        assert torch.equal(logits, want[0]) and torch.equal(tokens, want[1])


def test_clips_pass_a_frozen_backbone_one_by_one_on_a_cpu(inputs):
    for options, passes in [({}, B), ({"backbone_batch": B}, 1), ({"train_backbone": True}, 1)]:
        model, seen = build(backbone=Pixels(), **options), []
        model.backbone.register_forward_hook(lambda module, args, output, seen=seen: seen.append(len(args[0])))
        model.patch_features(clips_of(inputs).video)
        assert seen == [B * T // passes] * passes
        assert model.clips_a_pass(5, torch.device("cuda")) == (B if "backbone_batch" in options else 5)


def test_a_frozen_backbone_stays_in_eval_mode_without_gradients(inputs):
    model = build(backbone=Pixels()).train()
    assert model.training and not model.backbone.training and not model.backbone.scale.requires_grad
    sum(x.square().sum() for x in model(clips_of(inputs))).backward()
    assert model.backbone.scale.grad is None and model.proj.weight.grad.any()


def test_a_trained_backbone_gets_gradients(inputs):
    model = build(backbone=Pixels(), train_backbone=True).train()
    assert model.backbone.training
    sum(x.square().sum() for x in model(clips_of(inputs))).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_without_appearance_the_backbone_is_dropped(inputs):
    model = build(backbone=Pixels(), appearance=False, embed_dim=D)
    assert model.backbone is None
    assert model(clips_of(inputs))[1].shape == (B, T, N, D)
    with pytest.raises(ValueError, match="no backbone"):
        model.patch_features(clips_of(inputs).video)
