import copy
import math
import re
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from section4_transfer.engine.distributed import Group
from section4_transfer.engine.recipe import Recipe, schedule
from section4_transfer.engine.runtime import Runtime
from section4_transfer.models import CifarNet, initialise
from section4_transfer.training import (
    evaluate,
    extract_features,
    fit,
    make_optimizer,
    predict,
)
from shared_utils.datasets.color_images import batches, generator
from shared_utils.errors import UserError
from shared_utils.runs import TrainingRun
from shared_utils.seed import stream
from tests.section4_transfer.helpers import CPU, TinyNet, as_float, steps, tiny_split

SECTION = Path(__file__).resolve().parents[2] / "section4_transfer"


def test_training_is_the_loop_that_one_writes_by_hand():
    recipe = Recipe(2, 8, 0.1, weight_decay=1e-2, label_smoothing=0.1, clip=0.2)
    model = initialise(TinyNet(), generator(0, "init"))
    x, y = tiny_split(20)
    oracle = copy.deepcopy(model)
    weights, biases = ([p for p in oracle.parameters() if p.ndim == n] for n in (4, 1))
    weights.append(oracle.fc.weight)
    groups = [{"params": weights, "weight_decay": 1e-2}, {"params": biases}]
    optimizer = torch.optim.SGD(groups, 0.1, momentum=0.9, nesterov=True)
    order, step, expected = stream(5, "shuffle"), 0, []
    for _ in range(2):
        for batch in batches(20, 8, order):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * schedule("onecycle", step / 6)
            optimizer.zero_grad()
            logits = oracle(x[batch].float() / 255)
            loss = F.cross_entropy(logits, y[batch], label_smoothing=0.1)
            loss.backward()
            norms = [oracle.conv.weight.grad.norm().item(), oracle.fc.weight.grad.norm().item()]
            torch.nn.utils.clip_grad_norm_(oracle.parameters(), 0.2)
            optimizer.step()
            correct = (logits.argmax(1) == y[batch]).sum().item()
            sums = [loss.item() * len(batch), correct, len(batch)]
            expected.append((loss.item(), sums, norms))
            step += 1
    for found, wanted in zip(steps(model, recipe, (x, y), seed=5), expected, strict=True):
        for value, value_ in zip(found, wanted, strict=True):
            assert value == pytest.approx(value_, rel=1e-5)
    for ours, theirs in zip(model.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def noisy(x, y, draws):
    return x.float() / 255 + torch.rand(len(x), 1, 1, 1, generator=draws), y


@pytest.mark.parametrize("first", [1, 4, 5])
def test_a_training_that_continues_ends_with_the_bytes_of_an_uninterrupted_one(first):
    recipe, split = Recipe(3, 8, 0.1, passes=2), tiny_split(20)  # 3 steps a pass, 18 in all

    def start():
        model = initialise(CifarNet(8, 3), generator(0, "init"))
        return model, make_optimizer(model, recipe)

    def advance(model, optimizer, first_step, count=None):
        options = {"optimizer": optimizer, "seed": 3, "first_step": first_step}
        return list(islice(steps(model, recipe, split, noisy, **options), count))

    model, optimizer = start()
    whole = advance(model, optimizer, 0)
    paused, its_optimizer = start()
    advance(paused, its_optimizer, 0, first)
    later, later_optimizer = start()
    later.load_state_dict(copy.deepcopy(paused.state_dict()))
    later_optimizer.load_state_dict(copy.deepcopy(its_optimizer.state_dict()))
    assert len(whole) == 18 and advance(later, later_optimizer, first) == whole[first:]
    for ours, theirs in zip(later.state_dict().values(), model.state_dict().values(), strict=True):
        assert ours.numpy().tobytes() == theirs.numpy().tobytes()


def test_what_a_step_draws_depends_on_the_seed_and_the_step_alone():
    def draws_of(recipe, seed):
        drawn = []

        def greedy(x, y, draws):
            drawn.append(torch.rand(len(drawn) % 3 + 1, generator=draws)[0].item())
            return x.float() / 255, y

        list(steps(TinyNet(), recipe, tiny_split(20), greedy, seed=seed))
        return drawn

    drawn = draws_of(Recipe(2, 8, 0.1), 0)
    assert len(set(drawn)) == 6 and draws_of(Recipe(1, 4, 0.1), 0) == drawn[:5]
    assert not set(draws_of(Recipe(2, 8, 0.1), 1)) & set(drawn)


class Recording(TrainingRun):
    """Notes every row, and the weights at that time."""

    def __init__(self, model):
        super().__init__()
        self.model, self.rows, self.states = model, [], []

    def log(self, row):
        self.rows.append(row)
        self.states.append(copy.deepcopy(self.model.state_dict()))


def test_fit_counts_every_sample_and_keeps_the_best_epoch():
    model, val = initialise(TinyNet(), generator(0, "init")), tiny_split(31, seed=1)
    run = Recording(model)
    history = fit(model, tiny_split(50), val, as_float, Recipe(12, 8, 0.5), CPU, seed=0, run=run)
    assert history.rows == run.rows and len(history.series["seconds"]) == 12
    ranks = [(row["val_acc"], -row["val_loss"]) for row in run.rows]
    assert history.best_epoch == ranks.index(max(ranks)) + 1
    assert max(ranks)[0] > 0.8
    for key, value in model.state_dict().items():
        assert torch.equal(value, run.states[history.best_epoch - 1][key])
    logits = model(val[0].float() / 255)
    assert history.best["val_loss"] == pytest.approx(F.cross_entropy(logits, val[1]).item())
    assert history.best["val_acc"] == pytest.approx(
        (logits.argmax(1) == val[1]).double().mean().item()
    )
    assert not model.training
    assert history.samples == 12 * 50
    assert sorted(history.series["seconds"]) == history.series["seconds"]
    assert history.series["seconds"][-1] == history.seconds > 0


def test_batch_norm_learns_in_training_and_is_fixed_in_evaluation():
    train, val, recipe = tiny_split(24), tiny_split(9, seed=1), Recipe(2, 8, 0.1)
    model = initialise(CifarNet(8, 3), generator(0, "init"))
    oracle, modes = copy.deepcopy(model), []
    model.bn.register_forward_hook(lambda module, inputs, out: modes.append(module.training))
    result = fit(model, train, val, as_float, recipe, CPU, seed=0)
    assert modes == [True, True, True, False] * 2
    norms = [norms for _, _, norms in steps(oracle, recipe, train, seed=0)]
    # The oracle sees no evaluation between its epochs: a network that did must be the same.
    for epoch, mean in enumerate(result.series["gradient_norms"]):
        expected = torch.tensor(norms[3 * epoch : 3 * epoch + 3]).mean(0)
        torch.testing.assert_close(torch.tensor(mean), expected)
    loss, _ = evaluate(oracle.train(), val, as_float, CPU)
    logits = oracle.eval()(val[0].float() / 255)
    assert loss == pytest.approx(F.cross_entropy(logits, val[1]).item(), rel=1e-5)


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    def train(seed):
        model = initialise(CifarNet(8, 3), generator(seed, "init"))
        result = fit(
            model, tiny_split(24), tiny_split(9), as_float, Recipe(1, 8, 0.1), CPU, seed=seed
        )
        return result.rows, [p.detach().numpy().tobytes() for p in model.parameters()]

    assert train(1) == train(1)
    assert train(1)[1] != train(2)[1]


def test_the_time_of_an_epoch_ends_when_the_device_has_done_its_steps(monkeypatch):
    waits = []
    monkeypatch.setattr(Runtime, "wait", lambda self: waits.append("waited"))
    split, run = tiny_split(20), CPU.training_run()
    fit(TinyNet(), split, split, as_float, Recipe(3, 8, 0.1), CPU, seed=0, run=run)
    assert len(waits) == 3


def test_predictions_are_in_order_and_an_evaluation_is_their_mean():
    model = initialise(TinyNet(), generator(0, "init"))
    x, y = tiny_split(1007)  # several of its batches, the last one shorter
    logits = model(x.float() / 255)
    torch.testing.assert_close(predict(model, x, as_float, CPU), logits.detach())
    loss, accuracy = evaluate(model, (x, y), as_float, CPU)
    assert loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == y).double().mean().item()


def test_any_head_and_any_use_of_the_labels_will_do():
    class Odd(TinyNet):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            return self.drop(super().forward(x))

    def soft(x, y, draws):
        return x.float() / 255, F.one_hot(y, 3).float()

    split = tiny_split(600)
    history = fit(Odd(), split, split, soft, Recipe(1, 300, 0.1), CPU, seed=0)
    assert len(history.rows) == 1


def test_features_leave_batch_norm_alone_and_fit_the_head():
    model = initialise(CifarNet(8, 3), generator(0, "init"))
    before = copy.deepcopy(model.state_dict())
    x, _ = tiny_split(7)
    found = extract_features(model.train(), x, lambda x, y, g: (x.float() / 255, y), CPU)
    torch.testing.assert_close(model.fc(found), model.eval()(x.float() / 255))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_loss_that_is_not_finite_is_named_with_its_epoch():
    def poison(x, y, draws):
        return x.float() * (math.nan if draws is not None else 1), y

    with pytest.raises(FloatingPointError, match="epoch 1"):
        fit(TinyNet(), tiny_split(9), tiny_split(9), poison, Recipe(2, 9, 0.1), CPU, seed=0)


def test_parameter_groups_keep_the_ratio_of_their_learning_rates():
    model = initialise(TinyNet(), generator(0, "init"))
    start = copy.deepcopy(model.state_dict())
    groups = [
        {"params": list(model.conv.parameters()), "lr": 0.0},
        {"params": list(model.fc.parameters())},
    ]
    recipe = Recipe(1, 9, 0.1)
    optimizer = make_optimizer(model, recipe, groups)
    list(steps(model, recipe, tiny_split(9), optimizer=optimizer, seed=0))
    assert torch.equal(model.conv.weight, start["conv.weight"])
    assert not torch.equal(model.fc.weight, start["fc.weight"])


def test_a_trained_network_leaves_the_device_and_its_gradients_behind():
    moves = []

    class Moving(TinyNet):
        def to(self, device, **options):
            moves.append(device.type)
            return super().to(device, **options)

        def cpu(self):
            moves.append("back")
            return super().cpu()

    model, part = Moving(), tiny_split(9)
    fit(model, part, part, as_float, Recipe(1, 9, 0.1), CPU, seed=0)
    assert moves[0] == "cpu" and moves[-1] == "back"
    assert all(p.grad is None for p in model.parameters())
    assert not model.training


def test_no_process_evaluates_nothing_and_too_few_images_are_refused(monkeypatch):
    """Of 251 images the last batch holds one: three of four processes have no part of it."""
    monkeypatch.setattr(Group, "sum", lambda self, values: values)
    monkeypatch.setattr(Group, "share_buffers", lambda self, model: None)
    seen = []

    def counted(x, y, draws):
        seen.append(len(x))
        return as_float(x, y, draws)

    for rank in range(4):
        runtime = Group(torch.device("cpu"), "fp32", rank, 4)
        evaluate(TinyNet(), tiny_split(251), counted, runtime)
        extract_features(TinyNet(), tiny_split(251)[0], counted, runtime)
    assert min(seen) == 1 and sum(seen) == 2 * 251
    found = predict(TinyNet(), tiny_split(3)[0], counted, runtime)  # the last process has no part
    assert seen[-1] == 1  # some networks fail on no image
    assert len(found) == 3 and found.ndim == 2 and not found.any()
    recipe = Recipe(1, 16, 0.1)
    with pytest.raises(UserError, match=r"7 training images are too few for 4 .* at most 3"):
        recipe.check(4, 7)
    recipe.check(4, 8)


def test_no_private_function_of_pytorch_is_used():
    for path in SECTION.rglob("*.py"):
        assert not re.search(r"torch(\.\w+)*\._[a-z]", path.read_text()), path.name


def test_bf16_runs_the_forward_pass_in_bf16_and_keeps_the_weights_in_float32():
    runtime = Runtime(torch.device("cpu"), "bf16")
    model = initialise(CifarNet(8, 3), generator(0, "init"))
    seen = []
    model.fc.register_forward_hook(lambda module, inputs, out: seen.append(out.dtype))
    fit(model, tiny_split(12), tiny_split(6), as_float, Recipe(1, 6, 0.1), runtime, seed=0)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_decay_pulls_on_matrices_alone_in_every_group():
    model = CifarNet(8, 3)
    backbone = [p for name, p in model.named_parameters() if not name.startswith("fc.")]
    groups = [{"params": backbone, "lr": 0.1}, {"params": model.fc.parameters(), "lr": 1.0}]
    model.conv.weight.requires_grad_(False)
    found = make_optimizer(model, Recipe(1, 8, 0.5, weight_decay=0.25), groups).param_groups
    decayed = {
        id(p): (group["weight_decay"], group["peak_lr"]) for group in found for p in group["params"]
    }
    for name, p in model.named_parameters():
        pull = 0.25 if name.endswith("weight") and "bn" not in name else 0.0
        lr = 1.0 if name.startswith("fc.") else 0.1
        expected = None if name == "conv.weight" else (pull, lr)
        assert decayed.get(id(p)) == expected, name


@pytest.mark.parametrize(("decay", "epochs"), [(0.9, 1), (0.4, 8)])
def test_the_average_of_weights_is_the_recurrence_written_out(decay, epochs):
    """3 steps, in which the average is young, and 24."""
    model, split = initialise(CifarNet(8, 3), generator(0, "init")), tiny_split(20)
    oracle = CPU.place(copy.deepcopy(model))  # as `fit` does: convolutions round by their layout
    mean = {k: v.double().numpy().copy() for k, v in oracle.state_dict().items()}
    for t, _ in enumerate(steps(oracle, Recipe(epochs, 8, 0.1), split, seed=0)):
        d = min(decay, (1 + t) / (10 + t))
        for key, value in oracle.state_dict().items():
            mean[key] = d * mean[key] + (1 - d) * value.double().numpy()
    recipe = Recipe(epochs, 8, 0.1, ema=decay)
    history = fit(model, split, split, as_float, recipe, CPU, seed=0)
    assert history.best_epoch == epochs  # whose average is compared
    for key, value in model.state_dict().items():
        if "num_batches" in key:
            assert value == 3 * epochs
        else:
            torch.testing.assert_close(value.double().numpy(), mean[key], rtol=1e-4, atol=1e-5)
    loss, accuracy = evaluate(model, split, as_float, CPU)
    assert (loss, accuracy) == (history.best["val_loss"], history.best["val_acc"])


def test_the_first_gradients_are_those_of_the_initial_weights():
    model = initialise(CifarNet(8, 3), generator(0, "init"))
    oracle, (x, y) = copy.deepcopy(model), tiny_split(8)
    F.cross_entropy(oracle.train()(x.float() / 255), y).backward()
    norms = [p.grad.norm().item() for p in oracle.parameters() if p.ndim > 1]
    history = fit(model, (x, y), (x, y), as_float, Recipe(3, 8, 0.1), CPU, seed=0)
    assert history.series["first_gradient_norms"] == pytest.approx(norms, rel=1e-4)
    assert history.series["gradient_norms"][0] == pytest.approx(norms, rel=1e-4)
    assert history.series["gradient_norms"][1] != pytest.approx(norms, rel=1e-4)


@pytest.mark.parametrize(("batch_size", "try_"), [(64, 32), (6, 4)])
def test_the_remedy_fits_what_ran_out_of_memory(batch_size, try_):
    def hungry(in_training):
        def prepare(x, y, draws):
            if in_training == (draws is not None):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return as_float(x, y, draws)

        return prepare

    part, recipe = tiny_split(9), Recipe(1, batch_size, 0.1)
    with pytest.raises(UserError, match=f"--batch-size {try_}"):
        fit(TinyNet(), part, part, hungry(True), recipe, CPU, seed=0)
    with pytest.raises(UserError, match="smaller --resize"):
        fit(TinyNet(), part, part, hungry(False), recipe, CPU, seed=0)
    with pytest.raises(UserError, match="smaller --resize"):
        predict(TinyNet(), part[0], hungry(False), CPU)
    with pytest.raises(UserError, match="smaller --resize"):
        extract_features(TinyNet(), part[0], hungry(False), CPU)


def test_a_tiny_batch_is_refused_in_words():
    with pytest.raises(UserError, match="--batch-size must be at least 4"):
        fit(TinyNet(), tiny_split(9), tiny_split(9), as_float, Recipe(1, 3, 0.1), CPU, seed=0)
