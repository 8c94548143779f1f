import copy
import math
import re
from itertools import islice

import pytest
import torch
from torch.nn import functional as F

from section4_transfer import devices, steps
from section4_transfer.devices import choose_device, choose_precision, memory_errors
from section4_transfer.engine import fit, right_answers
from section4_transfer.keeping import Keeper
from section4_transfer.models import CifarNet, initialise
from section4_transfer.recipe import SCHEDULES, Recipe, passes_for
from section4_transfer.steps import evaluate, features, make_optimizer, train_steps
from shared_utils.datasets.color_images import batches, generator
from shared_utils.errors import UserError
from shared_utils.seed import stream
from tests.section4_transfer.helpers import CPU, ROOT, TinyNet, as_float, tiny_part


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
    ours = make_optimizer(model, recipe)
    found = list(train_steps(model, ours, (x, y), as_float, recipe, CPU, seed=5))
    for (sums, norms, size), (sums_, norms_, size_) in zip(found, expected, strict=True):
        assert sums.tolist() == pytest.approx(sums_, rel=1e-5)
        assert norms.tolist() == pytest.approx(norms_, rel=1e-5)
        assert size == size_
    for ours, theirs in zip(model.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def noisy(x, y, draws):
    return x.float() / 255 + torch.rand(len(x), 1, 1, 1, generator=draws), y


@pytest.mark.parametrize("first", [1, 4, 5])
def test_a_training_that_is_continued_ends_with_the_bytes_of_one_that_never_paused(first):
    recipe, part = Recipe(3, 8, 0.1, passes=2), tiny_part(20)  # 3 steps a pass, 18 in all

    def begin():
        model = initialise(CifarNet(8, 3), generator(0, "init"))
        return model, make_optimizer(model, recipe)

    def go_on(model, optimizer, first_step, count=None):
        loop = train_steps(
            model, optimizer, part, noisy, recipe, CPU, seed=3, first_step=first_step
        )
        return [sums.tolist() for sums, _, _ in islice(loop, count)]

    model, optimizer = begin()
    whole = go_on(model, optimizer, 0)
    paused, its_optimizer = begin()
    go_on(paused, its_optimizer, 0, first)
    later, later_optimizer = begin()
    later.load_state_dict(copy.deepcopy(paused.state_dict()))
    later_optimizer.load_state_dict(copy.deepcopy(its_optimizer.state_dict()))
    assert len(whole) == 18 and go_on(later, later_optimizer, first) == whole[first:]
    for ours, theirs in zip(later.state_dict().values(), model.state_dict().values(), strict=True):
        assert ours.numpy().tobytes() == theirs.numpy().tobytes()


def test_what_a_step_draws_depends_on_the_seed_and_the_step_alone():
    def draws_of(recipe, seed):
        drawn = []

        def greedy(x, y, draws):
            drawn.append(torch.rand(len(drawn) % 3 + 1, generator=draws)[0].item())
            return x.float() / 255, y

        model = TinyNet()
        loop = train_steps(
            model, make_optimizer(model, recipe), tiny_part(20), greedy, recipe, CPU, seed=seed
        )
        list(loop)
        return drawn

    drawn = draws_of(Recipe(2, 8, 0.1), 0)
    assert len(set(drawn)) == 6 and draws_of(Recipe(1, 4, 0.1), 0) == drawn[:5]
    assert not set(draws_of(Recipe(2, 8, 0.1), 1)) & set(drawn)


def test_fit_counts_every_sample_and_keeps_the_best_epoch():
    model = initialise(TinyNet(), generator(0, "init"))
    val, rows, states = tiny_part(31, seed=1), [], []

    def say(row):
        rows.append(row)
        states.append(copy.deepcopy(model.state_dict()))

    keeper, recipe = Keeper(), Recipe(12, 8, 0.5)
    keeper.say = say
    result = fit(model, tiny_part(50), val, as_float, recipe, CPU, seed=0, keeper=keeper)
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
    optimizer = make_optimizer(oracle, recipe)
    loop = train_steps(oracle, optimizer, train, as_float, recipe, CPU, seed=0)
    steps = [norms for _, norms, _ in loop]
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
    recipe = Recipe(1, 9, 0.1)
    optimizer = make_optimizer(model, recipe, groups)
    list(train_steps(model, optimizer, tiny_part(9), as_float, recipe, CPU, seed=0))
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


def test_every_fraction_is_shown_as_many_images():
    assert [passes_for(f) for f in (0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1.0)] == [
        100, 20, 10, 3, 2, 1, 1,
    ]  # fmt: skip
    steps_of = [
        steps.steps_per_epoch(round(45000 * f), Recipe(1, 64, 0.1, passes=passes_for(f)))
        for f in (0.01, 0.1, 1.0)
    ]
    assert steps_of == [800, 710, 704]  # the rest is what batches are rounded up to


def test_an_absent_device_and_a_tiny_batch_are_the_users_to_mend(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    for name in ("cuda", "mps"):
        with pytest.raises(UserError, match=f"--device {name}"):
            choose_device(name)
    with pytest.raises(UserError, match="--batch-size must be at least 4"):
        fit(TinyNet(), tiny_part(9), tiny_part(9), as_float, Recipe(1, 3, 0.1), CPU, seed=0)


@pytest.mark.parametrize("unit", ["avx512_bf16", "amx_bf16"])
def test_the_cpu_gets_bf16_only_where_it_has_units(monkeypatch, unit):
    cpu = torch.device("cpu")
    for there, precision in ((True, "bf16"), (False, "fp32")):
        has = {unit: there}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has, raising=False)
        assert choose_precision("auto", cpu) == precision
        assert choose_precision("fp32", cpu) == "fp32"
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older PyTorch
    assert choose_precision("auto", cpu) == "fp32"


def test_several_processes_do_without_mps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("mps") == torch.device("mps")
    assert choose_device("auto", 1, 2) == torch.device("cpu")
    with pytest.raises(UserError, match="leave torchrun out"):
        choose_device("mps", 1, 2)


def test_a_trained_network_leaves_the_device_and_its_gradients_behind():
    moves = []

    class Moving(TinyNet):
        def to(self, device, **options):
            moves.append(device.type)
            return super().to(device, **options)

        def cpu(self):
            moves.append("back")
            return super().cpu()

    model, part = Moving(), tiny_part(9)
    fit(model, part, part, as_float, Recipe(1, 9, 0.1), CPU, seed=0)
    assert moves[0] == "cpu" and moves[-1] == "back"
    assert all(p.grad is None for p in model.parameters())
    moves.clear()
    right = right_answers(model, part, as_float, CPU)
    assert moves == ["cpu", "back"]
    assert right.tolist() == (model(part[0].float() / 255).argmax(1) == part[1]).tolist()


def test_no_process_evaluates_nothing_and_too_few_images_are_refused(monkeypatch):
    """Of 251 images the last batch holds one: three of four processes have no share in it."""
    monkeypatch.setattr(steps, "sum_over_processes", lambda values, runtime: values)
    monkeypatch.setattr(steps, "share_buffers", lambda model, runtime: None)
    seen = []

    def counted(x, y, draws):
        seen.append(len(x))
        return as_float(x, y, draws)

    for rank in range(4):
        here = devices.Runtime(torch.device("cpu"), "fp32", rank, 4)
        evaluate(TinyNet(), tiny_part(251), counted, here)
        features(TinyNet(), tiny_part(251)[0], counted, here)
    assert min(seen) == 1 and sum(seen) == 2 * 251
    recipe = Recipe(1, 16, 0.1)
    with pytest.raises(UserError, match=r"7 training images are too few for 4 .* at most 3"):
        recipe.check(here, 7)
    recipe.check(here, 8)


def test_no_private_function_of_pytorch_is_used():
    for path in (ROOT / "section4_transfer").glob("*.py"):
        assert not re.search(r"torch(\.\w+)*\._[a-z]", path.read_text()), path.name


def test_bf16_runs_the_forward_pass_in_bf16_and_keeps_the_weights_in_float32():
    here = devices.Runtime(torch.device("cpu"), "bf16")
    model = initialise(CifarNet(8, 3), generator(0, "init"))
    seen = []
    model.fc.register_forward_hook(lambda module, inputs, out: seen.append(out.dtype))
    fit(model, tiny_part(12), tiny_part(6), as_float, Recipe(1, 6, 0.1), here, seed=0)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_running_out_of_memory_names_the_batch_size_to_try():
    for words in ("CUDA out of memory. Tried to", "MPS backend out of memory (MPS allocated"):
        with pytest.raises(UserError, match="out of memory: try less"), memory_errors("less"):
            raise RuntimeError(words)
    with pytest.raises(UserError, match="try less"), memory_errors("less"):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shape"), memory_errors("less"):
        raise RuntimeError("shape mismatch")


@pytest.mark.parametrize(("batch_size", "try_"), [(64, 32), (6, 4)])
def test_the_remedy_fits_what_ran_out_of_memory(batch_size, try_):
    def hungry(in_training):
        def prepare(x, y, draws):
            if in_training == (draws is not None):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return as_float(x, y, draws)

        return prepare

    part, recipe = tiny_part(9), Recipe(1, batch_size, 0.1)
    with pytest.raises(UserError, match=f"--batch-size {try_}"):
        fit(TinyNet(), part, part, hungry(True), recipe, CPU, seed=0)
    with pytest.raises(UserError, match="smaller --resize"):
        fit(TinyNet(), part, part, hungry(False), recipe, CPU, seed=0)
    with pytest.raises(UserError, match="smaller --resize"):
        right_answers(TinyNet(), part, hungry(False), CPU)
    with pytest.raises(UserError, match="smaller --resize"):
        features(TinyNet(), part[0], hungry(False), CPU)
