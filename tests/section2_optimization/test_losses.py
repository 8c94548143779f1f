"""The losses against PyTorch's autograd in float64."""

import numpy as np
import pytest
import torch

from section2_optimization.losses import MSE, SoftmaxCrossEntropy
from tests.section2_optimization.helpers import LAYOUTS, close, shapes, tensor

TOLERANCE = 1e-10
SEEDS = range(12)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cross_entropy_matches_pytorch(layout, scale):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n, classes, _ = shapes(rng)
        logits = scale * layout(rng, n, classes)
        labels = rng.integers(0, classes, 2 * n)[::2]
        theirs = tensor(logits, requires_grad=True)
        expected = torch.nn.functional.cross_entropy(theirs, tensor(labels))
        expected.backward()
        loss = SoftmaxCrossEntropy()
        value = loss.forward(logits, labels)
        assert isinstance(value, float)
        assert value == pytest.approx(expected.item(), rel=TOLERANCE, abs=TOLERANCE)
        close(loss.backward(), theirs.grad)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mse_matches_pytorch(layout):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n, width, _ = shapes(rng)
        pred, target = layout(rng, n, width), layout(rng, n, width)
        theirs = tensor(pred, requires_grad=True)
        expected = torch.nn.functional.mse_loss(theirs, tensor(target))
        expected.backward()
        loss = MSE()
        assert loss.forward(pred, target) == pytest.approx(expected.item(), rel=TOLERANCE)
        close(loss.backward(), theirs.grad)
