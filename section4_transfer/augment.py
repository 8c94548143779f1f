"""From bytes to what a network sees, and augmentation: the training images, slightly changed.

A label survives small changes of its image, so every pass may show other images. (Mixup changes the
label, too.) All of it runs on batches, on the device that trains, yet every image draws its own
change. Each augmentation is a function of images (N, 3, H, W) in [0, 1], labels and a generator (on
the CPU, so that a seed means the same changes on every device), and returns images and labels.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Augmentation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


class Pipeline:
    """Bytes (N, 3, H, W) -> floats, augmented when a generator is given, resized, standardised.

    `mean` and `std` are the channels' (3,), in [0, 1]; `size` None leaves the images as they are.
    """

    def __init__(
        self,
        mean: Tensor,
        std: Tensor,
        augmentations: Sequence[Augmentation] = (),
        size: int | None = None,
    ):
        self.mean, self.std = mean.view(3, 1, 1), std.view(3, 1, 1)
        self.augmentations, self.size = augmentations, size

    def __call__(
        self, images: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return a batch as the network takes it; without a generator, nothing is random."""
        x = images.float() / 255
        if generator is not None:
            for augmentation in self.augmentations:
                x, labels = augmentation(x, labels, generator)
        if self.size is not None and self.size != x.shape[-1]:
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        x = (x - self.mean.to(x.device)) / self.std.to(x.device)
        return x.contiguous(memory_format=torch.channels_last), labels


def crop(
    x: Tensor, y: Tensor, generator: torch.Generator, pad: float = 1 / 16
) -> tuple[Tensor, Tensor]:
    """Shift each image by up to `pad` of its side, black filling the gap: a crop of the padded.

    He et al. (2015) pad 32 pixels by 4: `pad` is 1/8 there.
    """
    n, _, height, width = x.shape
    reach = max(1, int(pad * height))
    padded = F.pad(x, (reach,) * 4)
    shifts = torch.randint(2 * reach + 1, (2, n, 1), generator=generator)
    rows = (torch.arange(height) + shifts[0]).to(x.device)
    cols = (torch.arange(width) + shifts[1]).to(x.device)
    sample = torch.arange(n, device=x.device)[:, None, None]
    cut = padded.permute(0, 2, 3, 1)[sample, rows[:, :, None], cols[:, None, :]]
    return cut.permute(0, 3, 1, 2), y


def flip(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror half of the images, left to right."""
    return torch.where(_coin(x, 0.5, generator), x.flip(3), x), y


def rotate(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn each image about its centre by up to 15 degrees either way; the corners are black."""
    angle = _uniform(x, -15, 15, generator).flatten() * (math.pi / 180)
    zero = torch.zeros_like(angle)
    turn = torch.stack([angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero], 1)
    grid = F.affine_grid(turn.view(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False), y


def jitter(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Scale each image's brightness, contrast and saturation by 0.6 to 1.4."""
    x = x * _uniform(x, 0.6, 1.4, generator)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * _uniform(x, 0.6, 1.4, generator)
    gray = _gray(x)
    x = gray + (x - gray) * _uniform(x, 0.6, 1.4, generator)
    return x.clamp(0, 1), y


def grayscale(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Take the colour out of a fifth of the images."""
    return torch.where(_coin(x, 0.2, generator), _gray(x), x), y


def erase(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blacken a rectangle in half of the images, each side 1/4 to 1/2 of theirs.

    After Zhong et al. (2017), "Random erasing data augmentation", who fill it with random values
    and draw its area and its ratio of sides.
    """
    hidden = _coin(x, 0.5, generator)
    for dim in (2, 3):
        side = x.shape[dim]
        length = side * _uniform(x, 0.25, 0.5, generator)
        start = (side - length) * _uniform(x, 0, 1, generator)
        view = [1, 1, 1, 1]
        view[dim] = side
        place = torch.arange(side, device=x.device).view(view)
        hidden = hidden & (place >= start) & (place < start + length)
    return x.masked_fill(hidden, 0), y


def mixup(classes: int, alpha: float = 0.2) -> Augmentation:
    """Return mixup: x = w x_i + (1 - w) x_j, and the labels alike, with w from Beta(alpha, alpha).

    Every pair draws its own w; labels (N,) become soft labels (N, classes). Source: Zhang et al.
    (2018), "mixup: beyond empirical risk minimization", section 2.
    """

    def mix(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        # PyTorch's sampler of Beta takes no generator, so NumPy's draws, seeded by ours.
        rng = np.random.default_rng(torch.randint(2**62, (), generator=generator).item())
        w = torch.from_numpy(rng.beta(alpha, alpha, len(x))).float().to(x.device)
        other = torch.randperm(len(x), generator=generator).to(x.device)
        onehot = F.one_hot(y, classes).float()
        soft = w[:, None] * onehot + (1 - w[:, None]) * onehot[other]
        w = w[:, None, None, None]
        return w * x + (1 - w) * x[other], soft

    return mix


# By name, in the order in which they are applied: shapes, then colours, then what hides or blends.
AUGMENTATIONS = ("crop", "flip", "rotate", "jitter", "grayscale", "erase", "mixup")


def augmentations_of(names: Sequence[str], classes: int, pad: float = 1 / 16) -> list[Augmentation]:
    """Return the named augmentations in their order of application; `pad` is the crop's."""
    known = {f.__name__: f for f in (flip, rotate, jitter, grayscale, erase)}
    known |= {"crop": partial(crop, pad=pad), "mixup": mixup(classes)}
    return [known[name] for name in AUGMENTATIONS if name in names]


def _uniform(x: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return one draw an image, (N, 1, 1, 1)."""
    draws = torch.rand(len(x), 1, 1, 1, generator=generator)
    return (low + (high - low) * draws).to(x.device)


def _coin(x: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Return true with probability p for each image, (N, 1, 1, 1)."""
    return _uniform(x, 0, 1, generator) < p


def _gray(x: Tensor) -> Tensor:
    """Return the luminance (ITU-R BT.601) in all three channels' place, (N, 1, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=x.device).view(3, 1, 1)
    return (x * weights).sum(1, keepdim=True)
