"""How well can one hidden layer imitate a function, and how wide must it be?

A wide enough layer can come as near to any continuous function as one likes on a bounded domain
(Cybenko 1989 for sigmoids; Leshno et al. 1993 for every activation that is no polynomial). The
theorem says nothing of how wide, or whether training finds the weights: that is measured here, for
every activation, width and target. Writes <runs-dir>/approximation/.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.approximation_plots import draw_errors, draw_fits, draw_surface
from section1_mlp.model import MLP
from section1_mlp.targets import Target, make_targets
from section1_mlp.training import train_steps
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.errors import UserError
from shared_utils.plotting import save_figure, show_figures
from shared_utils.seed import stream
from shared_utils.stats import mean_std

HERE = Path(__file__).resolve().parent
QUICK = {"epochs": 300, "seeds": 1}
WIDTHS = [2, 4, 8, 16, 32, 64]
LEARNING_RATES = {"relu": 0.03, "tanh": 0.05, "sigmoid": 0.05}
# How steep the first layer's units start: a tanh of slope 4 rises within a quarter of the domain.
# A sigmoid is a tanh of half the slope: sigmoid(z) = (1 + tanh(z / 2)) / 2.
SLOPES = {"relu": 1, "tanh": 4, "sigmoid": 8}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    rates = ", ".join(f"{lr} for {activation}" for activation, lr in LEARNING_RATES.items())
    add_shared_flags(
        parser, HERE / "runs", epochs=1000, batch_size=32, lr=(None, rates), seeds=3, resumable=True
    )
    parser.add_argument(
        "--widths",
        nargs="+",
        type=positive_int,
        default=WIDTHS,
        help=f"numbers of hidden units (default: {' '.join(map(str, WIDTHS))})",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Fit every target with every activation, width and seed, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    from tqdm import tqdm

    args.widths = sorted(set(args.widths))
    targets = make_targets()
    data = {"name": "functions", "sizes": {name: len(t.x) for name, t in targets.items()}}
    with open_run(args, "approximation", data) as run:
        arms = [(t, a, w) for t in targets for a in LEARNING_RATES for w in args.widths]
        errors = {arm: [] for arm in arms}
        fitted = {}  # the functions that the first seed's networks compute
        for name, activation, width in tqdm(arms, "networks", disable=None):
            for seed in range(args.seed, args.seed + args.seeds):
                target = targets[name]
                arm = f"{name}-{activation}-{width}-seed{seed}"
                outputs = run.cached(arm, fit, target, activation, width, seed, args)
                error = float(np.mean((outputs - target.y_dense) ** 2))
                errors[name, activation, width].append(error)
                fitted.setdefault((name, activation, width), outputs)
                row = {"target": name, "activation": activation, "width": width}
                run.log(row | {"seed": seed, "mse": error})

        widest = args.widths[-1]
        summary = {"widest": widest, "runs": {}}
        print(f"\nmean squared error at width {widest}, the target's variance being 1")
        print(f"{'target':<9}" + "".join(f"{activation:>11}" for activation in LEARNING_RATES))
        for name in targets:
            means = {a: float(np.mean(errors[name, a, widest])) for a in LEARNING_RATES}
            summary["runs"][name] = {
                a: {w: mean_std(errors[name, a, w]) for w in args.widths} for a in LEARNING_RATES
            } | {"best": min(means, key=means.get)}
            print(f"{name:<9}" + "".join(f"{mean:>11.1e}" for mean in means.values()), end="")
            print(f"   best: {summary['runs'][name]['best']}")
        run.write_json("summary.json", summary)
        save_figure(draw_errors(targets, errors), run.path / "error_by_width.png")
        save_figure(draw_fits(targets, fitted), run.path / "fits.png")
        save_figure(draw_surface(targets["surface"], fitted, widest), run.path / "surface.png")
        print(f"\nmetrics and figures: {run.path}")
        show_figures(args.no_show)

        failed = [
            f"{activation} on {name}"
            for name, activation, width in arms
            if width == widest and not np.mean(errors[name, activation, width]) < 0.99
        ]
        if failed:
            raise UserError(
                f"no better than a constant at width {widest}: {', '.join(failed)}: try a smaller"
                " --lr, more --epochs or wider layers"
            )
        return summary


def fit(
    target: Target, activation: str, width: int, seed: int, args: argparse.Namespace
) -> np.ndarray:
    """Train one network on the target; return its outputs on the dense grid (NaN: it diverged)."""
    dims = target.x.shape[1]
    model = MLP((dims, width, 1), activation, "linear", rng=stream(seed, "init"), dtype=np.float64)
    spread_units(model, SLOPES[activation], stream(seed, "spread"))
    steps = train_steps(
        model,
        target.x,
        target.y,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr or LEARNING_RATES[activation],
        rng=stream(seed, "shuffle"),
    )
    try:
        for _ in steps:
            pass
    except FloatingPointError:
        return np.full_like(target.y_dense, np.nan)
    return model.forward(target.x_dense)


def spread_units(model: MLP, slope: float, rng: np.random.Generator) -> None:
    """Give every first-layer unit a place of its own: z = w . (x - c), c anywhere in the domain.

    With the usual biases of zero, all units of a one-dimensional network would have their kink at
    the same point, x = 0, and would have to be dragged apart by training.
    """
    W, b = model.params["W1"], model.params["b1"]
    W[:] = rng.normal(size=W.shape)
    W *= slope * rng.uniform(0.5, 1.5, W.shape[1]) / np.linalg.norm(W, axis=0)
    centres = rng.uniform(-1, 1, W.shape)
    b[:] = -np.sum(W * centres, axis=0)


if __name__ == "__main__":
    start(main)
