from types import SimpleNamespace

import numpy as np
import pytest

from section3_cnn import fit
from section3_cnn.model import build_cnn
from shared_utils.runs.folder import RunFolder

BAR = SimpleNamespace(n=0, update=lambda images: None, set_postfix=lambda **values: None)


def data(n=40):
    rng = np.random.default_rng(0)
    x, y = rng.random((n, 1, 28, 28), np.float32), rng.integers(0, 10, n)
    return SimpleNamespace(x_train=x, y_train=y, x_val=x[:10], y_val=y[:10])


def fit_with(monkeypatch, validation, folder):
    """Train with the given (loss, accuracy) of every epoch; return the fit, rows, each weight."""
    told, seen, rows = iter(validation), [], []

    def evaluate(model, x, y):
        if len(x) == 40:
            return 0.0, 0.0
        seen.append({key: a.copy() for key, a in (model.params | model.state).items()})
        return next(told)

    monkeypatch.setattr(fit, "evaluate", evaluate)
    model = build_cnn("deep", rng=np.random.default_rng(0))
    options = {"epochs": len(validation), "batch_size": 20, "lr": 0.01}
    with RunFolder(folder, {"checkpoint_minutes": 10.0}, {}) as run:
        found = fit.fit_network(
            "a", 0, model, data(), run, bar=BAR, on_epoch=rows.append, **options
        )
    return found, rows, seen


@pytest.mark.parametrize(
    ("validation", "best"),
    [
        ([(0.3, 0.5), (0.2, 0.9), (0.1, 0.7)], 2),  # accuracy decides, not the loss
        ([(0.3, 0.9), (0.2, 0.9), (0.4, 0.9)], 2),  # among equals, the loss
        ([(0.3, 0.9), (0.3, 0.9)], 1),  # among wholly equals, the first
    ],
)
def test_weights_and_running_averages_are_those_of_the_best_epoch(
    monkeypatch, tmp_path, validation, best
):
    found, rows, seen = fit_with(monkeypatch, validation, tmp_path / "run")
    assert found.best_epoch == best
    assert found.val_acc == validation[best - 1][1]
    assert [row["epoch"] for row in rows] == list(range(1, len(validation) + 1))
    arrays = found.model.params | found.model.state
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, seen[best - 1][key])
    last = seen[-1] if best < len(validation) else seen[0]
    assert any(not np.array_equal(array, last[key]) for key, array in arrays.items())


def test_a_validation_loss_that_is_not_finite_names_its_epoch(monkeypatch, tmp_path):
    with pytest.raises(FloatingPointError, match="epoch 2: the validation loss became nan"):
        fit_with(monkeypatch, [(0.3, 0.5), (float("nan"), 0.5), (0.1, 0.9)], tmp_path / "run")
