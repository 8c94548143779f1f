"""The regression's competitors, each choosing its regularisation, and how they are compared."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from shared_utils.errors import UserError
from shared_utils.stats import mean_std, paired_difference

FOLDS = 5
OURS = "our MLP"


@dataclass
class Scores:
    """What one competitor reached."""

    predicted: np.ndarray  # of every patient, by models of the first repeat, which never saw it
    r2: list[float] = field(default_factory=list)  # one a fold
    seconds: float = 0.0

    def summary(self, y: np.ndarray) -> dict:
        """Return what `summary.json` says of it."""
        rmse = float(np.sqrt(np.mean((self.predicted - y) ** 2)))
        return {"r2": mean_std(self.r2), "rmse_first_repeat": rmse, "seconds": self.seconds}


def competitors(epochs: int, batch_size: int, lr: float, seed: int) -> dict:
    """Return the three, each standardising by its training part and choosing its regularisation."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from section1_mlp.study.regressor import NumpyMLPRegressor

    ours = NumpyMLPRegressor(epochs=epochs, batch_size=batch_size, lr=lr, seed=seed)
    # max_iter=1000: scikit-learn's stops by itself, when its training loss no longer falls.
    peer = MLPRegressor(
        hidden_layer_sizes=(ours.width,), activation="tanh", max_iter=1000, random_state=seed
    )
    grids = {
        OURS: (ours, {"weight_decay": [0.003, 0.03, 0.1, 0.3]}),
        "ridge regression": (Ridge(), {"alpha": [1, 10, 30, 100]}),
        "scikit-learn's MLP": (peer, {"alpha": [0.1, 1, 10, 30]}),
    }
    models = {}
    for name, (estimator, grid) in grids.items():
        scaled = Pipeline([("scale", StandardScaler()), ("model", estimator)])
        inner = KFold(3, shuffle=True, random_state=seed)
        grid = {f"model__{key}": values for key, values in grid.items()}
        search = GridSearchCV(scaled, grid, cv=inner, error_score="raise")
        models[name] = TransformedTargetRegressor(search, transformer=StandardScaler())
    return models


def cross_validate(
    name: str, model, x: np.ndarray, y: np.ndarray, splits: list, log: Callable[[dict], None]
) -> Scores:
    """Return the competitor's scores over all folds. Raises UserError when it diverges."""
    from sklearn.metrics import r2_score
    from tqdm import tqdm

    scores, clock = Scores(np.zeros_like(y)), time.perf_counter()
    for fold, (train, test) in enumerate(tqdm(splits, name, disable=None, unit="fold")):
        try:
            predicted = model.fit(x[train], y[train]).predict(x[test])
        except FloatingPointError as error:
            raise UserError(f"{name} diverged ({error}): try a smaller --lr") from error
        scores.r2.append(r2_score(y[test], predicted))
        if fold < FOLDS:
            scores.predicted[test] = predicted
        log({"model": name, "fold": fold, "r2": scores.r2[-1]})
    scores.seconds = time.perf_counter() - clock
    return scores


def conclude(scores: dict[str, Scores]) -> list[str]:
    """Return sentences: our R^2 minus each other's, paired by fold; folds share training data."""
    others = [name for name in scores if name != OURS]
    return [
        paired_difference(
            scores[OURS].r2,
            scores[name].r2,
            comparisons=len(others),
            overlap=1 / (FOLDS - 1),
            pair="fold",
        ).sentence(f"R^2, {OURS} minus {name}", unit="", scale=1, digits=3)
        for name in others
    ]


def draw(y: np.ndarray, scores: dict[str, Scores]):
    """Draw predicted against true values, each predicted by a model that never saw it."""
    from shared_utils.plotting import COLORS, new_figure

    fig, axes = new_figure(1, len(scores), (11, 4.2), sharey=True)
    ends = [y.min(), y.max()]
    for ax, color, (name, of_one) in zip(axes, COLORS, scores.items(), strict=False):
        ax.scatter(y, of_one.predicted, s=12, alpha=0.5, color=color, lw=0)
        ax.plot(ends, ends, color="black", lw=1, ls="--", label="perfect")
        ax.set(xlabel="true progression (index)", title=f"{name}: mean R² {np.mean(of_one.r2):.2f}")
    axes[0].set_ylabel("predicted progression (index)")
    axes[0].legend(loc="upper left")
    fig.suptitle("Diabetes progression after one year, 442 patients, cross-validated")
    return fig
