"""The functions that an MLP is made of, each beside its derivative.

A network without a nonlinearity collapses into one matrix, so every hidden layer ends in an
activation a = g(z). Backpropagation needs g'(z), and each of the three here gives it from the
output `a` alone, which forward keeps anyway. Softmax and cross-entropy are written so that no
logit, however large, can overflow.
"""

import numpy as np


def relu(z: np.ndarray) -> np.ndarray:
    """g(z) = max(0, z)."""
    return np.maximum(z, 0)


def relu_grad(a: np.ndarray) -> np.ndarray:
    """g'(z), from a = g(z): 1 where z > 0, else 0 (at the kink z = 0 too, as PyTorch has it)."""
    return a > 0


def sigmoid(z: np.ndarray) -> np.ndarray:
    """g(z) = 1 / (1 + exp(-z)), written with exp(-|z|), which is at most 1."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def sigmoid_grad(a: np.ndarray) -> np.ndarray:
    """g'(z), from a = g(z): a (1 - a), at most 1/4: only large weights can make up for it."""
    return a * (1 - a)


def tanh(z: np.ndarray) -> np.ndarray:
    """g(z) = tanh(z)."""
    return np.tanh(z)


def tanh_grad(a: np.ndarray) -> np.ndarray:
    """g'(z), from a = g(z): 1 - a^2."""
    return 1 - a * a


ACTIVATIONS = {
    "relu": (relu, relu_grad),
    "sigmoid": (sigmoid, sigmoid_grad),
    "tanh": (tanh, tanh_grad),
}


def softmax(logits: np.ndarray) -> np.ndarray:
    """p_k = exp(z_k) / sum_j exp(z_j) for each row of (N, K); shifting by max z changes nothing."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """Return the mean of -log p_y = log sum_j exp(z_j) - z_y, for logits (N, K), labels (N,).

    From the logits, not from p: log(softmax(z)) would take the logarithm of an underflowed zero.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    return float(np.mean(log_sum - shifted[np.arange(len(y)), y]))


def cross_entropy_grad(probs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return dLoss/dlogits = (p - onehot(y)) / N: the loss alone divides by N."""
    grad = probs.copy()
    grad[np.arange(len(y)), y] -= 1
    grad /= len(y)
    return grad


def mse(pred: np.ndarray, y: np.ndarray) -> float:
    """Return the mean of (pred - y)^2 over all elements."""
    return float(np.mean((pred - y) ** 2))


def mse_grad(pred: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return dLoss/dpred = 2 (pred - y) / (number of elements)."""
    return (pred - y) * (2 / pred.size)
