"""Networks whose weights are set by hand: the approximation's, and that of the section's page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from section1_mlp.study import by_hand
from section1_mlp.study.targets import make_targets

README = Path(__file__).resolve().parents[2] / "section1_mlp" / "README.md"


def test_steps_add_up_from_left_to_right():
    model = by_hand.steps([-0.5, 0.0, 0.5], [1, -3, 4], start=2)
    np.testing.assert_allclose(
        model.forward(np.array([[-1], [-0.25], [0.25], [1]]))[:, 0], [2, 3, 0, 4], atol=1e-9
    )


def test_the_error_of_a_steep_step_falls_as_one_over_its_slope():
    # Over the whole line, the integral of (step - sigmoid(k x))^2 is (2 log 2 - 1) / k.
    x = np.linspace(-1, 1, 100_001)[:, None]
    for slope in (100, 400):
        error = np.mean((by_hand.steps([0], [1], slope=slope).forward(x) - (x > 0)) ** 2)
        assert error == pytest.approx((2 * np.log(2) - 1) / slope / 2, rel=1e-3)


def test_bumps_are_as_high_as_the_target_and_their_error_falls_with_the_square_of_their_number():
    target, errors = make_targets()["sine"], []
    for count in (16, 32):
        model = by_hand.bumps(target, count)
        assert model.layer_sizes == (1, 2 * count, 1)
        middles = (np.arange(count) + 0.5) * 2 / count - 1
        expected = np.sqrt(2) * np.sin(2 * np.pi * middles)
        np.testing.assert_allclose(model.forward(middles[:, None])[:, 0], expected, atol=2e-3)
        errors.append(np.mean((model.forward(target.x_dense) - target.y_dense) ** 2))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_two_units_follow_both_jumps():
    targets = make_targets()
    results = by_hand.compare(targets, 8, {"sine": 0.5, "step": 0.25})
    assert results["step"]["units"] == 2 and results["step"]["mse"] < 3e-4
    assert results["sine"]["units"] == 8
    assert results["step"]["sentence"] == (
        "steps: two jumps: 2 sigmoid units set by hand reach a mean squared error of"
        f" {results['step']['mse']:.1e}, 8 trained ones 2.5e-01"
    )


def printed() -> dict[str, np.ndarray]:
    """Return the numbers of the small network on the section's page, by name."""
    (block,) = re.findall(r"```text\n(X .*?)```", README.read_text(), re.DOTALL)
    lines = re.findall(r"^(\w+) += ([^#\n]+)", block, re.MULTILINE)
    return {name: np.array(json.loads(value), float) for name, value in lines}


def test_the_page_prints_what_autograd_computes_and_what_the_code_does():
    page = printed()
    names = ["W1", "b1", "W2", "b2"]
    W1, b1, W2, b2 = params = [torch.tensor(page[name], requires_grad=True) for name in names]
    found = {"Z1": torch.tensor(page["X"]) @ W1 + b1}
    found["A1"] = torch.relu(found["Z1"])
    found["Z2"] = found["A1"] @ W2 + b2
    found["P"] = torch.softmax(found["Z2"], dim=1)
    found["loss"] = torch.nn.functional.cross_entropy(found["Z2"], torch.tensor(page["y"]).long())
    for name in ("Z1", "A1", "Z2"):
        found[name].retain_grad()
    found["loss"].backward()
    found |= {f"d{name}": found[name].grad for name in ("Z1", "A1", "Z2")}
    found |= {f"d{name}": tensor.grad for name, tensor in zip(names, params, strict=True)}

    model = MLP((2, 2, 2), "relu", rng=np.random.default_rng(0), dtype=np.float64)
    for name in names:
        model.params[name][:] = page[name]
    y = page["y"].astype(int)
    assert model.loss(page["X"], y) == pytest.approx(found["loss"].item())
    model.backward()
    for name in names:
        np.testing.assert_allclose(model.grads[name], found[f"d{name}"], rtol=1e-12)
    SGD(0.5).step(model.params, model.grads)
    found |= {f"new_{name}": torch.tensor(model.params[name]) for name in names}
    found["new_loss"] = torch.tensor(model.loss(page["X"], y))

    assert page.keys() == {"X", "y", *names, *found}
    for name, tensor in found.items():
        np.testing.assert_allclose(page[name], tensor.detach(), atol=5.1e-5, err_msg=name)
