"""Losses: one number that says how wrong a batch is, and its gradient.

A loss is where the gradient starts and where the batch is averaged. It alone divides by the batch
size, so that the gradient has the same expectation for every batch size; no layer does it again.
The best learning rate may still differ: a larger batch has less noise.
"""

import numpy as np


class SoftmaxCrossEntropy:
    """L = -1/N sum_n log p[n, y_n], with p = softmax(logits) along the rows.

    Taken together, softmax and logarithm simplify to what neither has alone: the logarithm of a
    softmax needs no softmax, -log p_y = log sum_j exp(z_j) - z_y, and the gradient no Jacobian,
    dL/dz = (p - onehot(y)) / N. Source: Goodfellow, Bengio and Courville (2016), section 6.2.2.3.
    """

    def __init__(self):
        self._cache = None

    def forward(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Return L for logits (N, K) and integer labels (N,) in 0..K-1.

        Raises ValueError for labels of another shape, kind or range.
        """
        logits, labels = np.asarray(logits), np.asarray(labels)
        if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(logits):
            raise ValueError(
                f"logits must be (N, K) and labels (N,), not {logits.shape} and {labels.shape}"
            )
        classes = logits.shape[1]
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"labels must be whole numbers in 0..{classes - 1}")
        shifted = logits - logits.real.max(axis=1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(axis=1, keepdims=True)
        self._cache = e / total, labels
        return np.mean(np.log(total[:, 0]) - shifted[np.arange(len(labels)), labels]).item()

    def backward(self) -> np.ndarray:
        """Return dL/dlogits = (p - onehot(labels)) / N, (N, K)."""
        probs, labels = _cached(self)
        grad = probs.copy()
        grad[np.arange(len(labels)), labels] -= 1
        grad /= len(labels)
        return grad


class MSE:
    """L = the mean of (pred - target)^2 over all elements."""

    def __init__(self):
        self._cache = None

    def forward(self, pred: np.ndarray, target: np.ndarray) -> float:
        """Return L. Raises ValueError unless pred and target have one shape: nothing broadcasts."""
        pred = np.asarray(pred)
        target = np.asarray(target, pred.dtype)
        if pred.shape != target.shape or not pred.size:
            raise ValueError(f"pred is {pred.shape}, target is {target.shape}: they must be equal")
        self._cache = pred - target
        return np.mean(self._cache**2).item()

    def backward(self) -> np.ndarray:
        """Return dL/dpred = 2 (pred - target) / (number of elements)."""
        difference = _cached(self)
        return difference * (2 / difference.size)


def _cached(loss):
    if loss._cache is None:
        raise RuntimeError(f"{type(loss).__name__}.backward needs a forward pass first")
    return loss._cache
