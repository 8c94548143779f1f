"""Predict the progression of diabetes: our MLP against ridge regression and scikit-learn's MLP.

442 patients, ten measurements each, and the disease's progression after a year (Efron et al. 2004,
"Least angle regression"). Repeated 5-fold cross-validation; inside each training part, an inner
3-fold one chooses every competitor's regularisation. Writes <runs-dir>/regression/.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.errors import UserError
from shared_utils.plotting import COLORS, new_figure, save_figure, show_figures
from shared_utils.stats import mean_std

HERE = Path(__file__).resolve().parent
QUICK = {"repeats": 1}
FOLDS = 5
OURS = "our MLP"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs", epochs=50, batch_size=32, lr=0.02)
    parser.add_argument(
        "--repeats",
        type=positive_int,
        default=2,
        help="repeat the 5-fold cross-validation on new folds (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Cross-validate the three competitors on the same folds, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    from sklearn.datasets import load_diabetes
    from sklearn.metrics import r2_score
    from sklearn.model_selection import RepeatedKFold
    from tqdm import tqdm

    x, y = load_diabetes(return_X_y=True, scaled=False)
    data = {"name": "diabetes", "source": "scikit-learn's load_diabetes", "sizes": {"all": len(y)}}
    with open_run(args, "regression", data) as run:
        folds = RepeatedKFold(n_splits=FOLDS, n_repeats=args.repeats, random_state=args.seed)
        splits = list(folds.split(x))
        r2, predicted, seconds = {}, {}, {}
        for name, model in competitors(args).items():
            clock = time.perf_counter()
            r2[name] = []
            predicted[name] = np.zeros_like(y)  # by models of the first repeat, which never saw it
            for fold, (train, test) in enumerate(tqdm(splits, name, disable=None, unit="fold")):
                try:
                    prediction = model.fit(x[train], y[train]).predict(x[test])
                except FloatingPointError as error:
                    raise UserError(f"{name} diverged ({error}): try a smaller --lr") from error
                r2[name].append(r2_score(y[test], prediction))
                if fold < FOLDS:
                    predicted[name][test] = prediction
                run.log({"model": name, "fold": fold, "r2": r2[name][-1]})
            seconds[name] = time.perf_counter() - clock

        summary = {
            "data": "diabetes",
            "runs": {
                name: {
                    "r2": mean_std(r2[name]),
                    "rmse_first_repeat": float(np.sqrt(np.mean((predicted[name] - y) ** 2))),
                    "seconds": seconds[name],
                }
                for name in r2
            },
        }
        summary["conclusions"] = [compare(r2, name) for name in r2 if name != OURS]
        run.write_json("summary.json", summary)
        print(f"\n{'model':<20}{'R^2':>6}{'deviation over folds':>22}{'RMSE':>8}{'seconds':>9}")
        for name, result in summary["runs"].items():
            mean, std = result["r2"]["mean"], result["r2"]["std"]
            rmse = result["rmse_first_repeat"]
            print(f"{name:<20}{mean:>6.3f}{std:>22.3f}{rmse:>8.1f}{result['seconds']:>9.1f}")
        print("\n" + "\n".join(summary["conclusions"]))
        save_figure(draw(y, predicted, r2), run.path / "predicted_against_true.png")
        print(f"\nmetrics and figure: {run.path}")
        show_figures(args.no_show)
        return summary


def competitors(args: argparse.Namespace) -> dict:
    """Return the three, each standardising by its training part and choosing its regularisation."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from section1_mlp.regressor import NumpyMLPRegressor

    ours = NumpyMLPRegressor(
        epochs=args.epochs, batch_size=args.batch_size, lr=args.lr, seed=args.seed
    )
    # max_iter=1000: scikit-learn's stops by itself, when its training loss no longer falls.
    peer = MLPRegressor(
        hidden_layer_sizes=(ours.width,), activation="tanh", max_iter=1000, random_state=args.seed
    )
    grids = {
        OURS: (ours, {"weight_decay": [0.003, 0.03, 0.1, 0.3]}),
        "ridge regression": (Ridge(), {"alpha": [1, 10, 30, 100]}),
        "scikit-learn's MLP": (peer, {"alpha": [0.1, 1, 10, 30]}),
    }
    models = {}
    for name, (estimator, grid) in grids.items():
        scaled = Pipeline([("scale", StandardScaler()), ("model", estimator)])
        inner = KFold(3, shuffle=True, random_state=args.seed)
        search = GridSearchCV(
            scaled,
            {f"model__{key}": values for key, values in grid.items()},
            cv=inner,
            error_score="raise",
        )
        models[name] = TransformedTargetRegressor(search, transformer=StandardScaler())
    return models


def compare(r2: dict[str, list[float]], other: str) -> str:
    """Return a sentence on the difference between our R^2 and another's, paired by fold.

    The folds share training data, so their scores are not independent: the variance of the mean
    difference is (1/J + n_test/n_train) times that over the J folds (Nadeau and Bengio 2003,
    "Inference for the generalization error").
    """
    from scipy.stats import t

    differences = np.array(r2[OURS]) - np.array(r2[other])
    J = len(differences)
    error = np.sqrt((1 / J + 1 / (FOLDS - 1)) * differences.var(ddof=1))
    half = t.ppf(0.975, J - 1) * error
    mean = differences.mean()
    verdict = "no clear difference" if abs(mean) < half else "a clear difference"
    return f"R^2, {OURS} minus {other}: {mean:+.3f} +- {half:.3f} (95 %): {verdict}"


def draw(y: np.ndarray, predicted: dict[str, np.ndarray], r2: dict[str, list[float]]):
    """Draw predicted against true values, each predicted by a model that never saw it."""
    fig, axes = new_figure(1, len(predicted), (11, 4.2), sharey=True)
    ends = [y.min(), y.max()]
    for ax, color, (name, values) in zip(axes, COLORS, predicted.items(), strict=False):
        ax.scatter(y, values, s=12, alpha=0.5, color=color, lw=0)
        ax.plot(ends, ends, color="black", lw=1, ls="--", label="perfect")
        ax.set(xlabel="true progression (index)", title=f"{name}: mean R² {np.mean(r2[name]):.2f}")
    axes[0].set_ylabel("predicted progression (index)")
    axes[0].legend(loc="upper left")
    fig.suptitle("Diabetes progression after one year, 442 patients, cross-validated")
    return fig


if __name__ == "__main__":
    start(main)
