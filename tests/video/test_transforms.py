import pickle
import random

import numpy as np
import pytest
import torch

from trokens.video import transforms
from trokens.video.transforms import PhotometricAugment, channels_first, resize

DEFAULT = "rand-m9-n2-mstd0.5-inc1"


@pytest.fixture(autouse=True)
def _one_thread():
    """As in a loader's worker; threads only wait for each other on frames this small."""
    torch.set_num_threads(1)


def clip(frames: int = 4, height: int = 48, width: int = 64, low: int = 0, high: int = 255) -> torch.Tensor:
    """Smooth color waves that drift from frame to frame."""
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    waves = torch.stack([torch.sin(x / 9 + t), torch.cos(y / 7 - t), torch.sin((x + y) / 11)], -1)
    return (low + (waves + 1) / 2 * (high - low)).byte()  # (T, H, W, 3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Fixed(PhotometricAugment):
    """The augmentation with chosen operations, always applied, without noise."""

    def __init__(self, aa_type, monkeypatch, *names):
        super().__init__(aa_type)
        self.num_ops = len(names)
        monkeypatch.setattr(transforms, "_APPLIED", 1.1)
        chosen = {f"{i}": transforms._OPERATIONS[name] for i, name in enumerate(names)}
        monkeypatch.setattr(transforms, "_OPERATIONS", chosen)


def test_resize_takes_the_whole_frame_and_rounds_what_floats_give():
    frames = clip(height=90, width=160)
    small = channels_first(resize(frames, 56))
    exact = torch.nn.functional.interpolate(frames.permute(0, 3, 1, 2).float(), (56, 56), mode="bilinear",
                                            antialias=True)
    assert small.shape == (4, 3, 56, 56) and small.dtype == torch.uint8 and small.is_contiguous()
    assert (small - exact).abs().max() <= 1


def test_channels_go_first_and_a_resized_clip_stays_as_it_is():
    frames = clip(height=90, width=160)
    assert channels_first(frames).equal(frames.permute(0, 3, 1, 2)) and channels_first(frames).is_contiguous()
    small = resize(frames, 56)
    assert small.is_contiguous() and resize(small, 56).equal(small)


def test_resize_can_enlarge():
    assert resize(clip(height=20, width=30), 224).shape == (4, 224, 224, 3)


@pytest.mark.parametrize("aa_type", [DEFAULT, "rand-m20-mstd0.5-inc1", "rand-m4", "rand-m7.5-n3-inc0"])
def test_augmented_frames_keep_shape_and_type_and_leave_their_input_alone(aa_type):
    augment, frames = PhotometricAugment(aa_type), clip()
    for seed in range(40):
        changed = augment(frames, seeded(seed))
        assert changed.shape == frames.shape and changed.dtype == torch.uint8
    assert frames.equal(clip())


def test_a_generator_alone_decides_what_happens():
    augment, frames = PhotometricAugment(DEFAULT), clip()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first = [augment(frames, seeded(seed)) for seed in range(30)]
    assert states[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.get_rng_state().equal(states[2])
    torch.manual_seed(1)
    copied = pickle.loads(pickle.dumps(augment))  # as a spawned worker gets it
    assert all(a.equal(copied(frames, seeded(seed))) for seed, a in enumerate(first))
    assert len({a.numpy().tobytes() for a in first}) > 10


def test_every_frame_of_a_clip_gets_the_same_operations():
    augment, frame = PhotometricAugment(DEFAULT), clip(frames=1)
    for seed in range(60):
        changed = augment(frame.expand(3, -1, -1, -1), seeded(seed))
        assert changed[0].equal(changed[1]) and changed[0].equal(changed[2])


def test_no_operation_moves_a_pixel():
    """A change of one pixel may show in its neighbors (sharpness), never elsewhere or everywhere else but there."""
    frames = torch.full((1, 33, 33, 3), 90, dtype=torch.uint8)
    frames[:, 10, 20] = torch.tensor([200, 40, 10], dtype=torch.uint8)
    for name, operation in transforms._OPERATIONS.items():
        for sign in (1, -1):
            changed = operation(frames.numpy(), 0.9, sign, True)[0].astype(int)  # (H, W, 3)
            odd = np.argwhere(np.abs(changed - changed[:1, :1]).sum(-1))
            assert all(abs(y - 10) <= 1 and abs(x - 20) <= 1 for y, x in odd.tolist()), name


@pytest.mark.parametrize("frames", [clip(), clip(low=0, high=60), clip(low=180, high=255)],
                         ids=["usual", "dark", "bright"])
def test_the_default_never_destroys_a_clip(frames):
    augment = PhotometricAugment(DEFAULT)
    contrast = frames.float().std()
    changes = []
    for seed in range(400):
        changed = augment(frames, seeded(seed)).float()
        assert changed.std() > contrast / 10, seed
        changes.append((changed - frames.float()).abs().mean())
    assert 5 < torch.stack(changes).mean() < 80
    assert torch.stack(changes).median() < 40


def test_noise_changes_the_strength(monkeypatch):
    frames = clip()
    without = Fixed("rand-m4-inc1", monkeypatch, "Brightness")
    strengths = {float(without(frames, seeded(seed)).float().mean()) for seed in range(20)}
    assert len(strengths) == 2  # brighter or darker
    without.noise = 0.5
    assert len({float(without(frames, seeded(seed)).float().mean()) for seed in range(20)}) > 15


@pytest.mark.parametrize(("aa_type", "name", "want"), [
    ("rand-m20-mstd0.5-inc1", "Posterize", lambda x: x * 0),
    ("rand-m20-mstd0.5-inc1", "Solarize", lambda x: 255 - x),
    ("rand-m9-inc1", "Posterize", lambda x: x & 0b10000000),
    ("rand-m5-inc1", "Posterize", lambda x: x & 0b11000000),
    ("rand-m0-inc1", "Solarize", lambda x: x),
    ("rand-m5-inc1", "Solarize", lambda x: torch.where(x >= 128, 255 - x, x)),
    ("rand-m3-inc0", "Solarize", lambda x: torch.where(x >= 76, 255 - x, x)),
    ("rand-m5-inc1", "SolarizeAdd", lambda x: torch.where(x < 128, x + 55, x)),
    ("rand-m9-inc1", "Invert", lambda x: 255 - x),
])
def test_strengths_mean_what_they_mean_in_timm(monkeypatch, aa_type, name, want):
    frames = clip()
    assert Fixed(aa_type, monkeypatch, name)(frames, seeded(0)).equal(want(frames))


def test_operations_agree_with_timm_itself(monkeypatch):
    """timm draws from Python's own generator; here its sign is fixed and every operation applied."""
    auto_augment = pytest.importorskip("timm.data.auto_augment")
    from PIL import Image

    frames = clip(frames=2, low=20, high=230)
    frames[1] //= 2  # each frame has a mean and a range of its own
    monkeypatch.setattr(auto_augment, "_randomly_negate", lambda v: v)
    for name, operation in transforms._OPERATIONS.items():
        for strength in (2.0, 6.0, 9.0):
            known = name + "Increasing" if name + "Increasing" in auto_augment.NAME_TO_OP else name
            op = auto_augment.AugmentOp(known, prob=1.0, magnitude=strength)
            want = np.stack([op(Image.fromarray(frame)) for frame in frames.numpy()]).astype(int)
            apart = np.abs(operation(frames.numpy(), strength / 10, 1, True) - want)
            assert apart.max() <= 1 and (apart > 0).mean() < 0.02, (name, strength)


def test_frames_of_one_color_survive():
    frames = np.full((1, 8, 8, 3), 77, np.uint8)
    for name in ("AutoContrast", "Equalize", "Contrast", "Color", "Sharpness"):
        assert (transforms._OPERATIONS[name](frames, 0.9, 1, True) == frames).all(), name


@pytest.mark.parametrize("aa_type", ["", "m9", "rand-m9-x3", "rand-n2", "rand-m9-n0", "augmix-m3", "rand-m9-inc2",
                                     "rand-m9-mstd"])
def test_another_string_is_refused_with_the_accepted_form(aa_type):
    with pytest.raises(ValueError, match=rf"aa_type is '{aa_type}'; expected rand-m<strength>.*{DEFAULT}"):
        PhotometricAugment(aa_type)
