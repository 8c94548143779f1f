"""The update against PyTorch's."""

import numpy as np
import pytest
import torch

from section1_mlp.optimizer import SGD
from tests.section1_mlp.helpers import problem, torch_loss


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0, 0), (0.9, 0), (0.9, 1e-2), (0, 0.1)])
def test_steps_are_those_of_torch_sgd(momentum, weight_decay):
    model, x, y = problem("tanh", 3, "softmax")
    params = {key: torch.tensor(p, requires_grad=True) for key, p in model.params.items()}
    optimizer = torch.optim.SGD(
        params.values(), lr=0.1, momentum=momentum, weight_decay=weight_decay
    )
    ours = SGD(0.1, momentum, weight_decay)
    for step in range(50):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        optimizer.zero_grad()
        torch_loss(params, x, y, "tanh", "softmax").backward()
        optimizer.step()
        model.loss(x, y)
        model.backward()
        ours.lr = 0.1 / (1 + step)
        ours.step(model.params, model.grads)
    for key, tensor in params.items():
        np.testing.assert_allclose(model.params[key], tensor.detach(), rtol=1e-10, atol=1e-13)


def test_the_update_stays_in_the_dtype_of_the_parameters():
    params = {"W1": np.ones((2, 3), np.float32)}
    sgd = SGD(0.1, 0.9, 1e-4)
    sgd.step(params, {"W1": np.ones((2, 3), np.float32)})
    assert params["W1"].dtype == sgd.velocity["W1"].dtype == np.float32
