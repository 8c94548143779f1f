"""What the tests of Section 2 share: arrays of every memory layout."""

import numpy as np
import torch


def contiguous(rng, n, d):
    return rng.normal(size=(n, d))


def transposed(rng, n, d):
    return rng.normal(size=(d, n)).T


def strided(rng, n, d):
    return rng.normal(size=(2 * n, 3 * d))[::-2, ::3]


LAYOUTS = (contiguous, transposed, strided)


def tensor(array, requires_grad=False):
    """Return a PyTorch copy of an array of any layout."""
    return torch.tensor(array.copy(order="C"), requires_grad=requires_grad)


def shapes(rng, at_least=1):
    """A batch size and two widths, one of them 1 now and then."""
    return max(at_least, int(rng.integers(1, 9))), int(rng.integers(1, 9)), int(rng.integers(1, 9))


def close(ours, theirs, tolerance=1e-10):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
