import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as VF

from section4_transfer import augment
from section4_transfer.augment import AUGMENTATIONS, Pipeline, augmentations_of
from section4_transfer.pretrained import all_quarter_turns, quarter_turns
from shared_utils.datasets.color_images import generator

X = torch.rand(64, 3, 16, 16, generator=generator(0, "x"))
Y = torch.arange(64) % 10


def apply(name, x=X, seed=0):
    (function,) = augmentations_of([name], 10)
    return function(x.clone(), Y[: len(x)], generator(seed, "draws"))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_changes_images_keeps_shape_and_range_and_follows_its_seed(name):
    x, y = apply(name)
    assert x.shape == X.shape and x.min() >= 0 and x.max() <= 1.0001
    assert not torch.equal(x, X) and torch.equal(x, apply(name)[0])
    assert not torch.equal(x, apply(name, seed=1)[0])
    if name != "mixup":
        assert torch.equal(y, Y)


def test_crop_is_a_shift_of_each_image_by_its_own_amount():
    x, _ = apply("crop")
    padded = torch.nn.functional.pad(X, (1,) * 4)
    shifts = set()
    for image, source in zip(x, padded, strict=True):
        found = [
            (top, left)
            for top in range(3)
            for left in range(3)
            if torch.equal(image, source[:, top : top + 16, left : left + 16])
        ]
        assert len(found) == 1
        shifts.update(found)
    assert len(shifts) == 9


@pytest.mark.parametrize(("side", "reach"), [(32, 4), (16, 2)])
def test_a_crop_as_published_shifts_by_an_eighth_of_the_side(side, reach):
    """He et al. (2015): 4 pixels of 32."""
    x = torch.arange(1.0, side + 1).expand(200, 3, side, side)  # its first row: 1, 2, ..., side
    cut, _ = augment.crop(x, Y, generator(0, "draws"), pad=1 / 8)
    middle = side // 2
    shifts = cut[:, 0, middle, middle] - (middle + 1)
    assert set(shifts.tolist()) == set(range(-reach, reach + 1))


def test_flip_mirrors_about_half_and_nothing_else():
    x, _ = apply("flip")
    mirrored = torch.tensor([torch.equal(a, b.flip(2)) for a, b in zip(x, X, strict=True)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(x, X, strict=True)])
    assert (mirrored ^ same).all() and 20 < mirrored.sum() < 44


def test_rotation_is_torchvisions_by_the_same_angle():
    x, _ = apply("rotate", X[:8])
    angles = -15 + 30 * torch.rand(8, 1, 1, 1, generator=generator(0, "draws")).flatten()
    for image, source, angle in zip(x, X, angles, strict=False):
        expected = VF.rotate(source, angle.item(), v2.InterpolationMode.BILINEAR)
        inner = slice(3, -3)  # the two treat the border's pixels differently
        torch.testing.assert_close(
            image[:, inner, inner], expected[:, inner, inner], atol=1e-4, rtol=0
        )


def test_jitter_and_grayscale_are_torchvisions_in_this_order():
    x, _ = apply("jitter", X[:4])
    draws = generator(0, "draws")
    brightness, contrast, saturation = (
        0.6 + 0.8 * torch.rand(4, 1, 1, 1, generator=draws) for _ in range(3)
    )
    for i in range(4):
        image = X[i] * brightness[i]
        image = image.mean() + (image - image.mean()) * contrast[i]
        gray = (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
        expected = (gray + (image - gray) * saturation[i]).clamp(0, 1)
        torch.testing.assert_close(x[i], expected)
    x, _ = apply("grayscale")
    changed = (x != X).flatten(1).any(1)
    assert 4 <= changed.sum() <= 24
    torch.testing.assert_close(x[changed], VF.rgb_to_grayscale(X[changed], 3), atol=1e-3, rtol=0)


def test_erase_blackens_one_rectangle_of_the_stated_size():
    x, _ = augment.erase(torch.ones(200, 3, 16, 16), Y, generator(0, "draws"))
    hidden = x[:, 0] == 0
    assert torch.equal(hidden, x[:, 1] == 0)
    erased = hidden.flatten(1).any(1)
    assert 70 < erased.sum() < 130
    for mask in hidden[erased]:
        height, width = mask.any(1).sum(), mask.any(0).sum()
        assert mask.sum() == height * width and 3 <= height <= 8 and 3 <= width <= 8


def test_mixup_mixes_images_and_labels_alike():
    x, soft = apply("mixup")
    torch.testing.assert_close(soft.sum(1), torch.ones(64))
    # Images that are constant and equal to their label: the mix must be the expected label.
    flat = (Y.float() / 10).view(-1, 1, 1, 1).expand(64, 3, 4, 4)
    x, soft = augment.mixup(10)(flat, Y, generator(0, "draws"))
    torch.testing.assert_close(x[:, 0, 0, 0], soft @ (torch.arange(10) / 10))
    assert ((soft > 0.01) & (soft < 0.99)).any(1).sum() > 10


def test_mixups_weights_are_drawn_from_beta():
    from scipy.stats import kstest

    zeros, labels = torch.zeros(4000, 3, 1, 1), torch.arange(4000) % 2
    _, soft = augment.mixup(2)(zeros, labels, generator(0, "draws"))
    w = soft[:, 0][(soft > 0).all(1)]  # of pairs with unlike labels; symmetric about 1/2
    assert len(w) > 1500 and kstest(w.numpy(), "beta", (0.2, 0.2)).pvalue > 0.01


def test_pipeline_standardises_by_channel_and_resizes_like_torchvision():
    images = torch.randint(256, (3, 3, 8, 8), generator=generator(0, "x"), dtype=torch.uint8)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    x, y = Pipeline(mean, std, augmentations_of(AUGMENTATIONS, 3), size=12)(images, Y[:3])
    resized = VF.resize(images.float() / 255, [12, 12], antialias=True)
    torch.testing.assert_close(x, VF.normalize(resized, mean.tolist(), std.tolist()))
    assert torch.equal(y, Y[:3]) and x.is_contiguous(memory_format=torch.channels_last)


def test_quarter_turns_are_labelled_by_their_number():
    x, turns = quarter_turns(X, Y, generator(0, "draws"))
    assert set(turns.tolist()) == {0, 1, 2, 3}
    for image, source, k in zip(x, X, turns.tolist(), strict=True):
        assert torch.equal(image, source.rot90(k, (1, 2)))
    x, turns = all_quarter_turns(X[:5])
    assert len(x) == 20 and torch.equal(x[13], X[3].rot90(2, (1, 2))) and turns[13] == 2
