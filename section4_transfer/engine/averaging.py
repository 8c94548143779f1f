"""An average of the weights that a training passes through, in place of the last ones.

At a high learning rate the weights circle around a good place; their mean is nearer to it than any
of them. The exponential moving average forgets old weights as it goes:

    w_mean <- d_t w_mean + (1 - d_t) w,    d_t = min(d, (1 + t) / (10 + t))

The second term of the minimum lets a young average follow quickly: the initial weights are noise.

Source: Polyak and Juditsky (1992), "Acceleration of stochastic approximation by averaging", for the
mean; the form above is that of TensorFlow's `ExponentialMovingAverage`.
"""

import copy

import torch
from torch import nn


class WeightAverage:
    """The moving average of a model's weights and of batch norm's statistics, as a model."""

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay = copy.deepcopy(model).requires_grad_(False), decay

    @torch.no_grad()
    def add(self, model: nn.Module, step: int) -> None:
        """Add the weights after step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, new in zip(
            self.model.state_dict().values(), model.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(new, 1 - decay)
            else:  # the number of batches
                mean.copy_(new)
