"""Which images have a label, in a study of how many labels a network needs.

Which ones they are is luck, too: with 100 labels a network may meet good examples or poor ones. So
every seed draws its own, and the spread over the seeds holds that luck.
"""

import numpy as np
import torch
from torch import Tensor

from section4_transfer.pretrained import STAGES
from shared_utils.datasets.splits import subset
from shared_utils.errors import UserError
from shared_utils.seed import stream


def label_counts(wished: list[int] | None, n: int, classes: int) -> list[int]:
    """Return the numbers of labels to learn from, of `n`, in order.

    None wishes for a hundredth, a tenth and all. More than there are means all. Raises UserError
    when a class would have none.
    """
    if wished is None:
        wished = [max(classes, round(fraction * n)) for fraction in (0.01, 0.1, 1)]
    if min(wished) < classes:
        raise UserError(f"--labels must be at least {classes}, one for each class")
    return sorted({min(count, n) for count in wished})


def draw_labelled(y: Tensor, count: int, seed: int, purpose: str) -> Tensor:
    """Return the indices of `count` samples with labels `y` (N,), drawn by the seed.

    Classes are in proportion, and each has one at least. Every purpose has draws of its own.
    """
    if count >= len(y):
        return torch.arange(len(y))
    order = stream(seed, f"labels to {purpose}").permutation(len(y))
    return torch.from_numpy(np.sort(order[subset(y.numpy()[order], count)]))


def with_labels(name: str, count: int) -> str:
    """Return the name of a variant that learns from so many labels."""
    return f"{name} ({count:,} labels)"


def with_frozen_stages(count: int) -> str:
    """Return the name of fine-tuning in which the first `count` stages stay as they are."""
    return f"{count} of {len(STAGES)} frozen"
