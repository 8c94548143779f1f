"""How well can one hidden layer imitate a function, and how wide must it be?

A wide enough layer can come as near to any continuous function as one likes on a bounded domain
(Cybenko 1989 for sigmoids; Leshno et al. 1993 for every activation that is not a polynomial). The
theorem says nothing of how wide, or whether training finds the weights: that is measured here, for
every activation, width and target. Writes <runs-dir>/approximation/.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.study.approximation import LEARNING_RATES, Network, imitate
from section1_mlp.study.approximation_plots import (
    draw_by_hand,
    draw_errors,
    draw_fits,
    draw_surface,
)
from section1_mlp.study.by_hand import compare
from section1_mlp.study.targets import make_targets
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.errors import UserError
from shared_utils.plotting import save_figure, show_figures
from shared_utils.stats import mean_std

HERE = Path(__file__).resolve().parent
QUICK = {"epochs": 300, "seeds": 1}
WIDTHS = [2, 4, 8, 16, 32, 64]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    lrs = ", ".join(f"{lr} for {activation}" for activation, lr in LEARNING_RATES.items())
    add_shared_flags(
        parser, HERE / "runs", epochs=1000, batch_size=32, lr=(None, lrs), seeds=3, resumable=True
    )
    parser.add_argument(
        "--widths",
        nargs="+",
        type=positive_int,
        default=WIDTHS,
        help=f"numbers of hidden units (default: {' '.join(map(str, WIDTHS))})",
    )
    return parser


@threadpool_limits.wrap(limits=1)  # small products gain nothing from a second thread
def main(argv: list[str] | None = None) -> dict:
    """Imitate every target with every activation, width and seed, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    from tqdm import tqdm

    widths, targets = sorted(set(args.widths)), make_targets()
    networks = [Network(t, a, w) for t in targets for a in LEARNING_RATES for w in widths]
    train = partial(imitate, epochs=args.epochs, batch_size=args.batch_size, lr=args.lr)
    data = {"name": "functions", "sizes": {name: len(t.x) for name, t in targets.items()}}
    with open_run(args, "approximation", data) as run:
        errors = {network: [] for network in networks}
        outputs = {}  # of the first seed's networks
        for network in tqdm(networks, "networks", disable=None):
            target = targets[network.target]
            for seed in range(args.seed, args.seed + args.seeds):
                name = f"{network.target}-{network.activation}-{network.width}-seed{seed}"
                y = run.cached(name, train, target, network, seed)
                errors[network].append(float(np.mean((y - target.y_dense) ** 2)))
                outputs.setdefault(network, y)
                run.log(vars(network) | {"seed": seed, "mse": errors[network][-1]})
        summary = summarize(errors, widths)
        trained = {name: by["sigmoid"][widths[-1]]["mean"] for name, by in summary["runs"].items()}
        summary["by_hand"] = compare(targets, widths[-1], trained)
        run.write_json("summary.json", summary)
        print_table(summary)
        save_figure(draw_errors(targets, errors), run.path / "error_by_width.png")
        save_figure(draw_fits(targets, outputs), run.path / "fits.png")
        save_figure(draw_by_hand(targets, outputs), run.path / "by_hand.png")
        save_figure(draw_surface(targets["surface"], outputs, widths[-1]), run.path / "surface.png")
        print(f"\nmetrics and figures: {run.path}")
        show_figures(args.no_show)
        require_better_than_a_constant(summary)
        return summary


def summarize(errors: dict[Network, list[float]], widths: list[int]) -> dict:
    """Return `summary.json`: errors by target, activation and width, over the seeds."""
    runs = {}
    for network, values in errors.items():
        of_target = runs.setdefault(network.target, {a: {} for a in LEARNING_RATES})
        of_target[network.activation][network.width] = mean_std(values)
    for of_target in runs.values():
        at_widest = {a: of_target[a][widths[-1]]["mean"] for a in LEARNING_RATES}
        of_target["best"] = min(at_widest, key=at_widest.get)
    return {"widest": widths[-1], "runs": runs}


def print_table(summary: dict) -> None:
    """Print the errors at the largest width, and what weights set by hand reach."""
    widest = summary["widest"]
    print(f"\nmean squared error at width {widest}, the target's variance being 1")
    print(f"{'target':<9}" + "".join(f"{activation:>11}" for activation in LEARNING_RATES))
    for name, of_target in summary["runs"].items():
        means = [of_target[activation][widest]["mean"] for activation in LEARNING_RATES]
        print(f"{name:<9}" + "".join(f"{mean:>11.1e}" for mean in means), end="")
        print(f"   best: {of_target['best']}")
    print("\n" + "\n".join(result["sentence"] for result in summary["by_hand"].values()))


def require_better_than_a_constant(summary: dict) -> None:
    """Raise UserError, naming them, when the widest networks learned nothing."""
    widest = summary["widest"]
    failed = [
        f"{activation} on {name}"
        for name, of_target in summary["runs"].items()
        for activation in LEARNING_RATES
        if not of_target[activation][widest]["mean"] < 0.99
    ]
    if failed:
        raise UserError(
            f"no better than a constant at width {widest}: {', '.join(failed)}: try a smaller"
            " --lr, more --epochs or wider layers"
        )


if __name__ == "__main__":
    start(main)
