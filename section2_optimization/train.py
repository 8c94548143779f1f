"""Compare seven optimizers on four toy problems: equal starts, equal batches, a rate for each.

First every gradient is checked. Then each optimizer is tried with every rate of one grid, keeps the
one that validation likes best, and is compared over several seeds; the test set is used once, at
the end. Learning-rate schedules and paths on three surfaces follow. Writes <runs-dir>/train/:
metrics, summary, figures and an animation.
"""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section2_optimization import toy_data
from section2_optimization.comparison import ARMS, RATES, best_rate, make_arms
from section2_optimization.conclusions import conclude, conclude_schedules, sensitivity, summarise
from section2_optimization.resuming import resumable_search
from section2_optimization.schedules import SCHEDULES, make_schedule
from section2_optimization.suite import check_everything
from section2_optimization.trajectories import SURFACES, best_paths
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_float, start
from shared_utils.errors import UserError
from shared_utils.runs.folder import RunFolder
from shared_utils.seed import stream

HERE = Path(__file__).resolve().parent
QUICK = {"epochs": 15, "seeds": 2, "rates": [0.003, 0.03, 0.3, 1.0]}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs", resumable=True, epochs=50, batch_size=32, seeds=3)
    for flag, choices in (
        ("--optimizers", ARMS),
        ("--datasets", toy_data.NAMES),
        ("--schedules", SCHEDULES),
    ):
        parser.add_argument(
            flag,
            nargs="+",
            choices=choices,
            default=list(choices),
            metavar="NAME",
            help=f"any of {', '.join(choices)} (default: all)",
        )
    parser.add_argument(
        "--rates",
        nargs="+",
        type=positive_float,
        default=list(RATES),
        metavar="LR",
        help=f"the grid of learning rates (default: {' '.join(map(str, RATES))})",
    )
    parser.add_argument(
        "--momentum", type=float, default=0.9, help="of momentum and Nesterov (default: 0.9)"
    )
    parser.add_argument(
        "--betas",
        nargs=2,
        type=float,
        default=[0.9, 0.999],
        metavar=("BETA1", "BETA2"),
        help="of Adam and AdamW (default: 0.9 0.999)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Check, compare, conclude, draw; return the summary."""
    parser = build_parser()
    args = parse_args(parser, argv, QUICK)
    for name in ("optimizers", "datasets", "schedules", "rates"):
        setattr(args, name, list(dict.fromkeys(getattr(args, name))))
    args.rates.sort()
    try:
        arms = make_arms(args.optimizers, args.momentum, args.betas)
        (schedule_arm,) = make_arms(["momentum"], args.momentum)
        steps = args.epochs * math.ceil(toy_data.SIZES["train"] / args.batch_size)
        for name in args.schedules:
            make_schedule(name, 1.0, steps)(0)
    except ValueError as error:
        parser.error(str(error))
    with open_run(args, "train", {"name": "generated toy data"}) as run:
        check_gradients_first(args.seed)

        results, schedules = compare(args, arms, schedule_arm, run)
        write_metrics(run, [trials for _, trials in results] + [schedules])
        summary = {"runs": {}, "sensitivity": {}, "schedules": {}, "conclusions": []}
        for data, trials in results:
            found = summarise(data, trials)
            summary["runs"] |= {f"{data.name}/{arm}": result for arm, result in found.items()}
            summary["sensitivity"][data.name] = sensitivity(trials)
            summary["conclusions"].append(conclude(data.name, found))
        last = results[-1][0]
        summary["schedules"] = summarise(last, schedules)
        line = conclude_schedules(last.name, schedule_arm.name, summary["schedules"])
        summary["conclusions"].append(line)
        run.write_json("summary.json", summary)
        print_table(summary)
        if all(result["diverged"] for result in summary["runs"].values()):
            raise UserError("every training diverged: try smaller --rates")

        from section2_optimization import path_plots, plots
        from shared_utils.plotting import show_figures

        for data, trials in results:
            plots.draw_curves(run.path / f"curves_{data.name}.png", data, trials)
        plots.draw_boundaries(run.path / "boundaries.png", results)
        plots.draw_sensitivity(run.path / "sensitivity.png", results)
        path = run.path / "schedules.png"
        plots.draw_schedules(path, last, schedule_arm.name, schedules, steps)
        paths = {surface.name: best_paths(surface, arms, args.rates) for surface in SURFACES}
        path_plots.draw_paths(run.path / "paths.png", paths)
        path_plots.animate_paths(run.path / "paths.gif", paths)
        print(f"\nmetrics, summary, figures and animation: {run.path}")
        show_figures(args.no_show)
        return summary


def check_gradients_first(seed: int) -> None:
    """Check all gradients and say so: no comparison is worth a look before."""
    checks = [central for central, _ in check_everything(stream(seed, "checks"))]
    wrong = [f"{check.name} {check.array}" for check in checks if not check.passed]
    if wrong:
        raise UserError(f"wrong gradients: {', '.join(wrong)}; run gradient_checking.py")
    worst = max(check.error for check in checks)
    print(f"gradient check: {len(checks)} arrays right, largest relative error {worst:.0e}\n")


def compare(
    args: argparse.Namespace, arms: list, schedule_arm, run: RunFolder
) -> tuple[list, dict]:
    """Return [(data, arm -> rate -> trials), ...] and schedule -> rate -> trials."""
    from tqdm import tqdm

    seeds = range(args.seed, args.seed + args.seeds)
    budget = {"epochs": args.epochs, "batch_size": args.batch_size}
    kinds = len(args.datasets) * len(arms) + len(args.schedules)
    total = kinds * len(args.rates) * args.seeds
    results = []
    with tqdm(total=total, desc="trainings", disable=None) as bar:
        for name in args.datasets:
            data, trials = toy_data.make_toy_data(name, args.seed), {}
            for arm in arms:
                bar.set_postfix_str(f"{name}, {arm.name}")
                trials[arm.name] = resumable_search(
                    run, f"{name}-{arm.name}", data, arm, args.rates, seeds, bar, **budget
                )
            results.append((data, trials))
        schedules = {}
        for name in args.schedules:
            bar.set_postfix_str(f"{data.name}, schedule {name}")
            schedules[name] = resumable_search(
                *(run, f"schedule-{name}", data, schedule_arm, args.rates, seeds, bar),
                schedule=name,
                **budget,
            )
    return results, schedules


def write_metrics(run: RunFolder, searches: list[dict]) -> None:
    """Write all measurements of the trainings at the chosen rates, at once: they are thousands."""
    rows = [
        row
        for by_name in searches
        for by_rate in by_name.values()
        for trial in by_rate[best_rate(by_rate)]
        for row in trial.history
    ]
    run.log(*rows)


def print_table(summary: dict) -> None:
    """Print one line a data set and optimizer, and the conclusions."""
    print(f"{'data/optimizer':<20}{'lr':>7}{'train loss':>12}", end="")
    print(f"{'test loss':>20}{'test acc':>20}  {'95 % interval, first seed'}")
    for name, result in summary["runs"].items():
        if result["diverged"]:
            print(f"{name:<20} diverged with every rate: try smaller --rates")
            continue
        over = result["over_seeds"]
        low, high = result["test_ci95"]
        loss = f"{over['test_loss']['mean']:.4g} +- {over['test_loss']['std']:.1g}"
        acc = f"{over['test_acc']['mean']:.2%} +- {over['test_acc']['std']:.2%}"
        print(f"{name:<20}{result['lr']:>7g}{over['train_loss']['mean']:>12.4g}", end="")
        print(f"{loss:>20}{acc:>20}  {low:.2%} - {high:.2%}")
    print("\n" + "\n".join(summary["conclusions"]))


if __name__ == "__main__":
    start(main)
