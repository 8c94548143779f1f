"""Predict the progression of diabetes: our MLP against ridge regression and scikit-learn's MLP.

442 patients, ten measurements each, and the disease's progression after a year (Efron et al. 2004,
"Least angle regression"). Repeated 5-fold cross-validation; inside each training part, an inner
3-fold one chooses every competitor's regularisation. Writes <runs-dir>/regression/.
"""

import argparse
import sys
from pathlib import Path

from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.study.regression import FOLDS, competitors, conclude, cross_validate, draw
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.plotting import save_figure, show_figures

HERE = Path(__file__).resolve().parent
QUICK = {"repeats": 1}


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


@threadpool_limits.wrap(limits=1)  # small products gain nothing from a second thread
def main(argv: list[str] | None = None) -> dict:
    """Cross-validate the three competitors on the same folds, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import RepeatedKFold

    x, y = load_diabetes(return_X_y=True, scaled=False)
    data = {"name": "diabetes", "source": "scikit-learn's load_diabetes", "sizes": {"all": len(y)}}
    with open_run(args, "regression", data) as run:
        folds = RepeatedKFold(n_splits=FOLDS, n_repeats=args.repeats, random_state=args.seed)
        splits = list(folds.split(x))
        models = competitors(args.epochs, args.batch_size, args.lr, args.seed)
        scores = {
            name: cross_validate(name, model, x, y, splits, run.log)
            for name, model in models.items()
        }
        summary = {
            "data": "diabetes",
            "runs": {name: of_one.summary(y) for name, of_one in scores.items()},
            "conclusions": conclude(scores),
        }
        run.write_json("summary.json", summary)
        print_results(summary)
        save_figure(draw(y, scores), run.path / "predicted_against_true.png")
        print(f"\nmetrics and figure: {run.path}")
        show_figures(args.no_show)
        return summary


def print_results(summary: dict) -> None:
    """Print one line a competitor, and the conclusions."""
    print(f"\n{'model':<20}{'R^2':>6}{'deviation over folds':>22}{'RMSE':>8}{'seconds':>9}")
    for name, result in summary["runs"].items():
        mean, std = result["r2"]["mean"], result["r2"]["std"]
        rmse = result["rmse_first_repeat"]
        print(f"{name:<20}{mean:>6.3f}{std:>22.3f}{rmse:>8.1f}{result['seconds']:>9.1f}")
    print("\n" + "\n".join(summary["conclusions"]))


if __name__ == "__main__":
    start(main)
