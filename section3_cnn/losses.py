"""Softmax and cross-entropy: how surprised the network is by the true label, and how to be less so.

    p = softmax(logits)        loss = mean over the batch of -log p_y
    dLoss/dlogits = (p - onehot(y)) / N

The two are one function here because together they are simple and safe: from the logits, no large
number can overflow and no small probability can vanish before its logarithm is taken. The loss
divides by the batch size, and nothing else does.
"""

import numpy as np


class SoftmaxCrossEntropy:
    """The mean of -log p_y over a batch, for logits (N, K) and integer labels (N,)."""

    def __init__(self):
        self._probs = self._target = None

    def forward(self, pred: np.ndarray, target: np.ndarray) -> float:
        """Return the loss, log sum_j exp(z_j) - z_y; shifting z by its maximum changes nothing.

        Raises ValueError, naming the shapes, unless there is one label for each row of logits, and
        for a label that is not a class.
        """
        target = np.asarray(target)
        if pred.ndim != 2 or target.shape != pred.shape[:1]:
            raise ValueError(f"logits {pred.shape} need labels {pred.shape[:1]}: {target.shape}")
        if not np.issubdtype(target.dtype, np.integer):
            raise ValueError(f"labels must be integers, not {target.dtype}")
        if target.size and not 0 <= target.min() <= target.max() < pred.shape[1]:
            raise ValueError(f"labels must lie in 0..{pred.shape[1] - 1}")
        z = pred - pred.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        self._probs, self._target = e / total, target
        return float(np.mean(np.log(total[:, 0]) - z[np.arange(len(z)), target]))

    def backward(self) -> np.ndarray:
        """Return dLoss/dlogits (N, K). Raises RuntimeError without a loss to differentiate."""
        if self._probs is None:
            raise RuntimeError("backward needs a loss: call forward first")
        grad = self._probs.copy()
        grad[np.arange(len(grad)), self._target] -= 1
        grad /= len(grad)
        return grad
