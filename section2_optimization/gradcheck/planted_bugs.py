"""Classic faults of backward passes, planted one by one: does the gradient check find them?

A check that has never failed proves nothing. Each class here is a correct layer or loss with
one wrong line, of the kind that really happens: all run without complaint, and most still let a
network learn something.
"""

import numpy as np

from section2_optimization.layers import (
    BatchNorm1d,
    Dropout,
    LayerNorm,
    Linear,
    ReLU,
    Sigmoid,
    Tanh,
)
from section2_optimization.losses import MSE, SoftmaxCrossEntropy
from section2_optimization.model import Sequential


class _DividedAgain(Linear):
    def backward(self, grad_out):
        grad_in = super().backward(grad_out)
        self.grads["W"] /= len(grad_out)
        return grad_in


class _NoTranspose(Linear):
    def backward(self, grad_out):
        super().backward(grad_out)
        return grad_out @ self.params["W"]


class _WrongAxis(Linear):
    def backward(self, grad_out):
        grad_in = super().backward(grad_out)
        self.grads["b"][:] = grad_out.sum(axis=1)
        return grad_in


class _AveragedBias(Linear):
    def backward(self, grad_out):
        grad_in = super().backward(grad_out)
        self.grads["b"][:] = grad_out.mean(axis=0)
        return grad_in


class _Accumulates(Linear):
    def backward(self, grad_out):
        before = self.grads["W"].copy()
        grad_in = super().backward(grad_out)
        self.grads["W"] += before
        return grad_in


class _MaskOfGradient(ReLU):
    def backward(self, grad_out):
        return grad_out * (grad_out > 0)


class _SigmoidOfOutput(Sigmoid):
    def backward(self, grad_out):
        y = Sigmoid().forward(self._cached())
        return grad_out * y * (1 - y)


class _TanhWithoutSquare(Tanh):
    def backward(self, grad_out):
        return grad_out * (1 - self._cached())


class _NoMeanGradient(BatchNorm1d):
    def backward(self, grad_out):
        _, inv_std = self._cached()
        grad_in = super().backward(grad_out)
        g = grad_out * self.params["gamma"]
        return grad_in + (g.mean(axis=0) * inv_std if self._from_batch else 0)


class _NoVarianceGradient(BatchNorm1d):
    def backward(self, grad_out):
        xhat, inv_std = self._cached()
        grad_in = super().backward(grad_out)
        g = grad_out * self.params["gamma"]
        return grad_in + (xhat * np.mean(g * xhat, axis=0) * inv_std if self._from_batch else 0)


class _BatchInPrediction(BatchNorm1d):
    def backward(self, grad_out):
        self._from_batch = True
        return super().backward(grad_out)


class _NormOverBatch(LayerNorm):
    def backward(self, grad_out):
        xhat, inv_std = self._cached()
        super().backward(grad_out)
        g = grad_out * self.params["gamma"]
        return (g - g.mean(axis=0) - xhat * np.mean(g * xhat, axis=0)) * inv_std


class _GammaForgotten(LayerNorm):
    def backward(self, grad_out):
        grad_in = super().backward(grad_out / self.params["gamma"])
        super().backward(grad_out)
        return grad_in


class _NoScale(Dropout):
    def backward(self, grad_out):
        return grad_out * (self._cached() > 0)


class _NewMask(Dropout):
    def backward(self, grad_out):
        self.forward(grad_out)
        return super().backward(grad_out)


class _NoJacobian(SoftmaxCrossEntropy):
    def backward(self):
        probs, labels = self._cache
        grad, rows = np.zeros_like(probs), np.arange(len(labels))
        grad[rows, labels] = -1 / probs[rows, labels] / len(labels)
        return grad


class _NotAveraged(SoftmaxCrossEntropy):
    def backward(self):
        grad = super().backward()
        return grad * len(grad)


class _NoTwo(MSE):
    def backward(self):
        return super().backward() / 2


class _AveragedOverBatchOnly(MSE):
    def backward(self):
        grad = super().backward()
        return grad * grad.shape[1]


class _Forwards(Sequential):
    def backward(self, grad_out):
        for layer in self.layers:
            grad_out = layer.backward(grad_out)
        return grad_out


# what was done wrong -> the class that does it; its base is the component that it replaces
FAULTS = {
    "Linear: W's gradient divided by the batch size again": _DividedAgain,
    "Linear: W not transposed for the input": _NoTranspose,
    "Linear: bias summed over the wrong axis": _WrongAxis,
    "Linear: bias averaged, not summed": _AveragedBias,
    "Linear: gradients added to the old ones": _Accumulates,
    "ReLU: mask of the gradient, not of the input": _MaskOfGradient,
    "Sigmoid: derivative taken at the output": _SigmoidOfOutput,
    "Tanh: 1 - y in place of 1 - y^2": _TanhWithoutSquare,
    "BatchNorm1d: without the mean's gradient": _NoMeanGradient,
    "BatchNorm1d: without the variance's gradient": _NoVarianceGradient,
    "BatchNorm1d: training's formula in prediction": _BatchInPrediction,
    "LayerNorm: averages over the batch": _NormOverBatch,
    "LayerNorm: input gradient without gamma": _GammaForgotten,
    "Dropout: without its scale": _NoScale,
    "Dropout: a new mask in backward": _NewMask,
    "SoftmaxCrossEntropy: softmax without its Jacobian": _NoJacobian,
    "SoftmaxCrossEntropy: not averaged over the batch": _NotAveraged,
    "MSE: without the factor 2": _NoTwo,
    "MSE: averaged over the batch only": _AveragedOverBatchOnly,
    "Sequential: layers walked forwards": _Forwards,
}


def planted(fault: str, components: dict) -> dict:
    """Return `components` with the class that `fault` replaces exchanged for the faulty one."""
    cls = FAULTS[fault]
    return components | {cls.__base__.__name__: cls}
