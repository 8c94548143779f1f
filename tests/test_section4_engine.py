import copy
import math

import pytest
import torch
from section4_helpers import CPU, TinyNet, as_float, tiny_part
from torch.nn import functional as F

from section4_transfer import devices
from section4_transfer.devices import choose_device, choose_precision, memory_errors
from section4_transfer.engine import fit
from section4_transfer.models import CifarNet, initialise
from section4_transfer.recipe import SCHEDULES, Recipe, passes_for
from section4_transfer.steps import evaluate, features, train_steps
from shared_utils.errors import UserError
from shared_utils.seed import stream
from shared_utils.torch_data import batches, generator


def test_training_is_the_loop_that_one_writes_by_hand():
    recipe = Recipe(2, 8, 0.1, weight_decay=1e-2, label_smoothing=0.1, clip=0.2)
    model = initialise(TinyNet(), generator(0, "init"))
    x, y = tiny_part(20)
    oracle = copy.deepcopy(model)
    optimizer = torch.optim.SGD(
        oracle.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-2
    )
    order, step, expected = stream(5, "shuffle"), 0, []
    for _ in range(2):
        for batch in batches(20, 8, order):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * SCHEDULES["one-cycle"](step / 6)
            optimizer.zero_grad()
            logits = oracle(x[batch].float() / 255)
            loss = F.cross_entropy(logits, y[batch], label_smoothing=0.1)
            loss.backward()
            norms = [oracle.conv.weight.grad.norm().item(), oracle.fc.weight.grad.norm().item()]
            torch.nn.utils.clip_grad_norm_(oracle.parameters(), 0.2)
            optimizer.step()
            right = (logits.argmax(1) == y[batch]).sum().item()
            expected.append(([loss.item() * len(batch), right, len(batch)], norms, len(batch)))
            step += 1
    steps = list(train_steps(model, (x, y), as_float, recipe, CPU, seed=5))
    for (sums, norms, size), (sums_, norms_, size_) in zip(steps, expected, strict=True):
        assert sums.tolist() == pytest.approx(sums_, rel=1e-5)
        assert norms.tolist() == pytest.approx(norms_, rel=1e-5)
        assert size == size_
    for ours, theirs in zip(model.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_fit_counts_every_sample_and_keeps_the_best_epoch():
    model = initialise(TinyNet(), generator(0, "init"))
    val, rows, states = tiny_part(31, seed=1), [], []

    def on_epoch(row):
        rows.append(row)
        states.append(copy.deepcopy(model.state_dict()))

    result = fit(
        model, tiny_part(50), val, as_float, Recipe(12, 8, 0.5), CPU, seed=0, on_epoch=on_epoch
    )
    assert result.history == rows and len(result.gradient_norms) == len(result.seconds) == 12
    accuracies = [row["val_acc"] for row in rows]
    assert result.best_epoch == accuracies.index(max(accuracies)) + 1
    assert max(accuracies) > 0.8
    for key, value in model.state_dict().items():
        assert torch.equal(value, states[result.best_epoch - 1][key])
    logits = model(val[0].float() / 255)
    assert result.best["val_loss"] == pytest.approx(F.cross_entropy(logits, val[1]).item())
    assert result.best["val_acc"] == pytest.approx(
        (logits.argmax(1) == val[1]).double().mean().item()
    )
    assert not model.training and result.layers == ["conv.weight", "fc.weight"]


def test_batch_norm_learns_in_training_and_is_fixed_in_evaluation():
    train, val, recipe = tiny_part(24), tiny_part(9, seed=1), Recipe(2, 8, 0.1)
    model = initialise(CifarNet(8, 3), generator(0, "init"))
    oracle, modes = copy.deepcopy(model), []
    model.bn.register_forward_hook(lambda module, inputs, out: modes.append(module.training))
    result = fit(model, train, val, as_float, recipe, CPU, seed=0)
    assert modes == [True, True, True, False] * 2
    steps = [norms for _, norms, _ in train_steps(oracle, train, as_float, recipe, CPU, seed=0)]
    # The oracle sees no evaluation between its epochs: a network that did must be the same.
    for epoch, mean in enumerate(result.gradient_norms):
        expected = torch.stack(steps[3 * epoch : 3 * epoch + 3]).mean(0)
        torch.testing.assert_close(torch.tensor(mean), expected)
    losses, _ = evaluate(oracle.train(), val, as_float, CPU)
    logits = oracle.eval()(val[0].float() / 255)
    expected = F.cross_entropy(logits, val[1], reduction="none").detach()
    torch.testing.assert_close(losses, expected)


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    def train(seed):
        model = initialise(CifarNet(8, 3), generator(seed, "init"))
        result = fit(
            model, tiny_part(24), tiny_part(9), as_float, Recipe(1, 8, 0.1), CPU, seed=seed
        )
        return result.history, [p.detach().numpy().tobytes() for p in model.parameters()]

    assert train(1) == train(1)
    assert train(1)[1] != train(2)[1]


def test_evaluation_gives_each_samples_loss_in_order():
    model = initialise(TinyNet(), generator(0, "init"))
    x, y = tiny_part(1007)  # several of its batches, the last one shorter
    losses, right = evaluate(model, (x, y), as_float, CPU)
    logits = model(x.float() / 255)
    torch.testing.assert_close(losses, F.cross_entropy(logits, y, reduction="none").detach())
    assert torch.equal(right, logits.argmax(1) == y)


def test_features_leave_batch_norm_alone_and_fit_the_head():
    model = initialise(CifarNet(8, 3), generator(0, "init"))
    before = copy.deepcopy(model.state_dict())
    x, _ = tiny_part(7)
    found = features(model.train(), x, lambda x, y, g: (x.float() / 255, y), CPU)
    torch.testing.assert_close(model.fc(found), model.eval()(x.float() / 255))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_loss_that_is_not_finite_is_named_with_its_epoch():
    def poison(x, y, draws):
        return x.float() * (math.nan if draws is not None else 1), y

    with pytest.raises(FloatingPointError, match="epoch 1"):
        fit(TinyNet(), tiny_part(9), tiny_part(9), poison, Recipe(2, 9, 0.1), CPU, seed=0)


def test_the_time_is_estimated_once_in_seconds_for_the_whole_training():
    told = []
    fit(
        TinyNet(),
        tiny_part(60),
        tiny_part(9),
        as_float,
        Recipe(3, 4, 0.1),
        CPU,
        seed=0,
        on_estimate=told.append,
    )
    assert len(told) == 1 and 0 < told[0] < 60


def test_parameter_groups_keep_the_ratio_of_their_rates():
    model = initialise(TinyNet(), generator(0, "init"))
    start = copy.deepcopy(model.state_dict())
    groups = [
        {"params": list(model.conv.parameters()), "lr": 0.0},
        {"params": list(model.fc.parameters())},
    ]
    list(train_steps(model, tiny_part(9), as_float, Recipe(1, 9, 0.1), CPU, seed=0, groups=groups))
    assert torch.equal(model.conv.weight, start["conv.weight"])
    assert not torch.equal(model.fc.weight, start["fc.weight"])


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("one-cycle", {0: 0.1, 0.125: 0.55, 0.25: 1, 0.625: 0.5, 1: 0}),
        ("cosine", {0: 1, 0.5: 0.5, 0.25: (1 + 0.5**0.5) / 2, 1: 0}),
        ("step", {0: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 0.99: 0.01}),
    ],
)
def test_schedules_pass_through_their_points(name, points):
    for progress, factor in points.items():
        assert SCHEDULES[name](progress) == pytest.approx(factor, abs=1e-12)


def test_few_images_are_passed_over_more_often():
    assert [passes_for(f) for f in (0.01, 0.05, 0.1, 0.5, 1.0)] == [10, 2, 1, 1, 1]


def test_an_absent_device_and_a_tiny_batch_are_the_users_to_mend(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    for name in ("cuda", "mps"):
        with pytest.raises(UserError, match=f"--device {name}"):
            choose_device(name)
    with pytest.raises(UserError, match="--batch-size must be at least 4"):
        fit(TinyNet(), tiny_part(9), tiny_part(9), as_float, Recipe(1, 3, 0.1), CPU, seed=0)


@pytest.mark.parametrize(("units", "precision"), [(True, "bf16"), (False, "fp32")])
def test_the_cpu_gets_bf16_only_where_it_has_units(monkeypatch, units, precision):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: units)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert choose_precision("auto", torch.device("cpu")) == precision
    assert choose_precision("fp32", torch.device("cpu")) == "fp32"


def test_bf16_runs_the_forward_pass_in_bf16_and_keeps_the_weights_in_float32():
    here = devices.Runtime(torch.device("cpu"), "bf16")
    model = initialise(CifarNet(8, 3), generator(0, "init"))
    seen = []
    model.fc.register_forward_hook(lambda module, inputs, out: seen.append(out.dtype))
    fit(model, tiny_part(12), tiny_part(6), as_float, Recipe(1, 6, 0.1), here, seed=0)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_running_out_of_memory_names_the_batch_size_to_try():
    with pytest.raises(UserError, match="--batch-size 32"), memory_errors(64):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(UserError, match="--batch-size 4"), memory_errors(6):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shape"), memory_errors(6):
        raise RuntimeError("shape mismatch")
