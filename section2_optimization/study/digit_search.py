"""Networks on digits: train each of some settings with each of some seeds, choose, test once.

A setting is one way to build and train a network. The comparisons of `digit_experiments` ask many
questions of this form: of these settings, which has the lowest validation loss, averaged over the
seeds? The networks of that setting, and no others, are then evaluated on the test set.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from section2_optimization.model import MLP
from section2_optimization.optimizers import SGD
from section2_optimization.training import evaluate, train_epochs
from shared_utils.datasets.gray_images import ImageData
from shared_utils.seed import stream
from shared_utils.stats import mean_std

VALIDATION = 1000  # images that choose, at most
MOMENTUM = 0.9


@dataclass(frozen=True)
class Setting:
    """One way to build and train a network: ReLU, and SGD with momentum at a constant rate."""

    hidden: tuple[int, ...]
    lr: float
    batch_size: int = 50
    norm: str = ""
    weight_scale: float = 1.0  # of the initial weights, in units of He's
    dropout: float = 0.0
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Budget:
    """What every network gets: the seeds, passes over the training set, and measurements."""

    seeds: Sequence[int]
    epochs: int
    measurements: int = 1  # evenly along the training; the last is at its end


@dataclass(frozen=True)
class Search:
    """What a search found: a list of rows for each setting and seed, and the chosen one's tests."""

    settings: list[Setting]
    rows: list[list[list[dict]]]  # setting, seed, measurement: losses and accuracies
    chosen: int
    tests: list[dict]  # loss and accuracy of the chosen setting, one a seed

    @property
    def setting(self) -> Setting:
        """The chosen setting."""
        return self.settings[self.chosen]

    def final(self, key: str) -> np.ndarray:
        """Return the last measurement of `key`, (settings, seeds)."""
        return np.array([[rows[-1][key] for rows in seeds] for seeds in self.rows])

    @property
    def diverged(self) -> bool:
        """Whether some seed diverged, even with the chosen setting."""
        return not np.isfinite(self.final("val_loss")[self.chosen]).all()

    def test(self, key: str) -> list[float]:
        """Return the chosen setting's test "loss" or "acc", one a seed."""
        return [test[key] for test in self.tests]

    def summary(self) -> dict:
        """Return what `summary.json` says of it: the chosen setting's results."""
        first = self.rows[self.chosen][0][-1]
        keys = ("train_acc", "val_acc", "train_loss", "val_loss")
        with np.errstate(invalid="ignore"):  # an infinite loss has no deviation
            over = {key: mean_std(self.final(key)[self.chosen].tolist()) for key in keys}
            over |= {f"test_{key}": mean_std(self.test(key)) for key in ("acc", "loss")}
        return {
            **{key: value for key, value in asdict(self.setting).items() if key != "hidden"},
            "val_acc": first["val_acc"],
            "test_acc": self.tests[0]["acc"],
            "over_seeds": over,
        }


def prepare(data: ImageData) -> ImageData:
    """Return the data with images as rows (N, pixels), and at most VALIDATION to validate on.

    The digest stays that of the whole data.
    """
    x_val, y_val = data.x_val[:VALIDATION], data.y_val[:VALIDATION]
    x_train, x_val, x_test = (x.reshape(len(x), -1) for x in (data.x_train, x_val, data.x_test))
    return replace(data, x_train=x_train, x_val=x_val, y_val=y_val, x_test=x_test)


@np.errstate(over="ignore", invalid="ignore")  # what overflows has diverged
def search(data: ImageData, settings: Sequence[Setting], budget: Budget) -> dict:
    """Train, choose by the mean validation loss, test: return a Search's parts but its settings."""
    trained = [[train_network(data, s, seed, budget) for seed in budget.seeds] for s in settings]
    rows = [[rows for _, rows in networks] for networks in trained]
    losses = [np.mean([row[-1]["val_loss"] for row in seeds]) for seeds in rows]
    chosen = int(np.argmin(losses))
    tests = [score(model, data, "test") for model, _ in trained[chosen]]
    return {"rows": rows, "chosen": chosen, "tests": tests}


def train_network(
    data: ImageData, setting: Setting, seed: int, budget: Budget
) -> tuple[MLP | None, list[dict]]:
    """Return a trained network, None if it diverged, and what was measured (`score`) by epoch.

    Initial weights, batches and masks follow from `seed` alone. BatchNorm cannot train on
    one sample, so one that would be alone in the last batch is left out.
    """
    x, y = data.x_train, data.y_train
    n = len(x) - (len(x) % setting.batch_size == 1)
    model = MLP(
        (x.shape[1], *setting.hidden, len(data.classes)),
        norm=setting.norm,
        dropout=setting.dropout,
        weight_scale=setting.weight_scale,
        rng=stream(seed, "init"),
    )
    optimizer = SGD(setting.lr, momentum=MOMENTUM, weight_decay=setting.weight_decay)
    epochs, times = budget.epochs, budget.measurements
    measured = {math.ceil(epochs * i / times) for i in range(1, times + 1)}
    rows = []
    try:
        for epoch in train_epochs(
            *(model, optimizer, x[:n], y[:n]),
            epochs=epochs,
            batch_size=setting.batch_size,
            lr_at=lambda t: setting.lr,
            rng=stream(seed, "shuffle"),
        ):
            if epoch in measured:
                rows.append({"epoch": epoch, **measure(model, data)})
    except FloatingPointError:
        model = None
        rows.append({"epoch": epochs, **measure(model, data)})
    return model, rows


def measure(model: MLP | None, data: ImageData) -> dict:
    """Return losses and accuracies on the training and the validation set."""
    scores = {split: score(model, data, split) for split in ("train", "val")}
    return {f"{split}_{key}": value for split, of in scores.items() for key, value in of.items()}


def score(model: MLP | None, data: ImageData, split: str) -> dict:
    """Return loss and accuracy on the "train", "val" or "test" split.

    A network that diverged counts as one that guesses, with an infinite loss.
    """
    if model is not None:
        loss, accuracy = evaluate(model, getattr(data, f"x_{split}"), getattr(data, f"y_{split}"))
        if math.isfinite(loss):
            return {"loss": loss, "acc": accuracy}
    return {"loss": math.inf, "acc": 1 / len(data.classes)}
