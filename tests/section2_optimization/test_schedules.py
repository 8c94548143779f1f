"""The schedules against closed forms and torch.optim.lr_scheduler."""

import math

import pytest

from section2_optimization import schedules
from tests.section2_optimization.helpers import torch

LR = 0.3


def torch_rates(make, steps):
    """Return the rates that a scheduler of PyTorch gives for steps 0..steps-1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


torch_lr = torch.optim.lr_scheduler


@pytest.mark.parametrize("total", [7, 40, 101])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda t, n: schedules.constant(t, LR), lambda o, n: torch_lr.ConstantLR(o, 1.0)),
        (
            lambda t, n: schedules.step_decay(t, LR, n // 3, 0.2),
            lambda o, n: torch_lr.StepLR(o, n // 3, 0.2),
        ),
        (
            lambda t, n: schedules.exponential(t, LR, 0.93),
            lambda o, n: torch_lr.ExponentialLR(o, 0.93),
        ),
        (
            lambda t, n: schedules.cosine(t, LR, n, 0.01),
            lambda o, n: torch_lr.CosineAnnealingLR(o, n, 0.01),
        ),
        (
            lambda t, n: schedules.linear_warmup(t, LR, 5),
            lambda o, n: torch_lr.LinearLR(o, 1 / 5, total_iters=4),
        ),
        (
            lambda t, n: schedules.onecycle(t, LR, n),
            lambda o, n: torch_lr.OneCycleLR(o, LR, total_steps=n + 1),
        ),
    ],
    ids=["constant", "step", "exponential", "cosine", "warmup", "onecycle"],
)
def test_schedules_match_pytorch(ours, theirs, total, request):
    # PyTorch's onecycle refuses the step after its last: it is given one more.
    horizon = total + 1 if "onecycle" in request.node.callspec.id else total
    expected = torch_rates(lambda optimizer: theirs(optimizer, total), total)
    assert [ours(t, horizon) for t in range(total)] == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3, 4, 9, 10, 11])
def test_onecycle_of_a_short_training_matches_pytorch(total):
    # Where the peak lies before the first step, the rates only fall. The last one PyTorch gives,
    # and then refuses to go on: its rates are read before that.
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    scheduler = torch_lr.OneCycleLR(optimizer, LR, total_steps=total)
    expected = [scheduler.get_last_lr()[0]]
    for _ in range(total - 1):
        optimizer.step()
        scheduler.step()
        expected.append(scheduler.get_last_lr()[0])
    ours = [schedules.onecycle(t, LR, total) for t in range(total)]
    assert ours == pytest.approx(expected, rel=1e-10)


def test_onecycle_may_begin_at_its_peak():
    assert schedules.onecycle(0, LR, 4, warmup_fraction=0.25) == pytest.approx(LR)


def test_closed_forms():
    assert schedules.step_decay(29, LR, 10) == pytest.approx(LR / 100)
    assert schedules.exponential(50, 1.0, 0.9) == pytest.approx(math.exp(50 * math.log(0.9)))
    assert schedules.cosine(0, LR, 10) == LR
    assert schedules.cosine(5, LR, 10) == pytest.approx(LR / 2)
    assert schedules.cosine(10, LR, 10) == pytest.approx(0, abs=1e-16)
    assert [schedules.linear_warmup(t, 1.0, 4) for t in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert schedules.onecycle(0, LR, 100) == pytest.approx(LR / 25)
    assert schedules.onecycle(29, LR, 100) == pytest.approx(LR)
    assert schedules.onecycle(99, LR, 100) == pytest.approx(LR / 25e4)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize("total", [10, 97, 400])
def test_named_schedules_give_usable_rates(name, total):
    rates = [schedules.make_schedule(name, LR, total)(t) for t in range(total)]
    assert all(0 < rate <= LR * (1 + 1e-12) for rate in rates)
    assert (max(rates) == pytest.approx(LR)) or name == "onecycle"


def test_named_schedules_end_where_their_description_says():
    last = {name: schedules.make_schedule(name, 1.0, 300)(299) for name in schedules.SCHEDULES}
    assert last["constant"] == last["warmup"] == 1
    assert last["step"] == pytest.approx(0.01)
    assert last["exponential"] == pytest.approx(0.01, rel=0.02)
    assert last["cosine"] < 1e-4 and last["onecycle"] < 1e-5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: schedules.make_schedule("cosin", LR, 10), "constant, step, exponential, cosine"),
        (lambda: schedules.constant(-1, LR), "step must lie"),
        (lambda: schedules.constant(0, 0.0), "lr must be"),
        (lambda: schedules.cosine(11, LR, 10), r"0\.\.10"),
        (lambda: schedules.onecycle(10, LR, 10), r"0\.\.9"),
        (lambda: schedules.onecycle(0, LR, 10, warmup_fraction=1.0), "warmup_fraction"),
        (lambda: schedules.onecycle(0, LR, 10, warmup_fraction=0.0), "warmup_fraction"),
        (lambda: schedules.step_decay(0, LR, 0), "every must be"),
        (lambda: schedules.exponential(0, LR, -0.1), "factor must be"),
        (lambda: schedules.linear_warmup(0, LR, 0), "warmup must be"),
    ],
)
def test_bad_settings_are_told_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()
