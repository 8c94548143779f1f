"""Four experiments on a few hundred digits: what normalisation and regularisation are good for.

weight-scale: batch norm against the size of the initial weights. batch-size: batch norm against
layer norm. overfitting: dropout and weight decay. learning-rate: which rate a batch size needs.
Rates and strengths are chosen on 1,000 validation images, what is chosen is tested once. Writes
<runs-dir>/experiments/: metrics, summary, a figure each.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section2_optimization.study import digit_plots
from section2_optimization.study.digit_experiments import EXPERIMENTS, Searches
from section2_optimization.study.digit_search import Budget, Search, prepare, search
from shared_utils.cli import add_shared_flags, open_run, parse_args, start
from shared_utils.datasets.gray_images import ImageData, load_image_data
from shared_utils.plotting import show_figures
from shared_utils.runs import RunFolder

HERE = Path(__file__).resolve().parent
QUICK = {"epochs": 2, "seeds": 2, "limit": 200}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    defaults = {"epochs": 10, "seeds": 5, "limit": 500, "dataset": "auto"}
    add_shared_flags(parser, HERE / "runs", resumable=True, **defaults)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(EXPERIMENTS),
        default=list(EXPERIMENTS),
        metavar="NAME",
        help=f"any of {', '.join(EXPERIMENTS)} (default: all)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Run the experiments, draw and conclude; return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    seeds = range(args.seed, args.seed + args.seeds)
    images = load_image_data(args.dataset, args.data_dir, args.limit)
    data, summary = prepare(images), {"runs": {}, "conclusions": []}
    with open_run(args, "experiments", images.describe()) as run:
        for name in dict.fromkeys(args.only):
            found = run_experiment(run, name, data, seeds, args.epochs)
            log(run, name, found, seeds)
            digit_plots.DRAW[name](run.path / f"{name}.png", found, data.title)
            summary["runs"] |= {label(name, key): found[key].summary() for key in found}
            conclusions = EXPERIMENTS[name].conclude(found)
            summary["conclusions"] += [f"{name}: {line}" for line in conclusions]
            print(f"\n{name}", *conclusions, sep="\n  ")
        run.write_json("summary.json", summary)
        print(f"\nmetrics, summary and figures: {run.path}")
        show_figures(args.no_show)
        return summary


def run_experiment(
    run: RunFolder, name: str, data: ImageData, seeds: range, epochs: int
) -> Searches:
    """Return what each search of an experiment finds, or has found before the run was stopped."""
    from tqdm import tqdm

    experiment = EXPERIMENTS[name]
    budget = Budget(seeds, experiment.epochs * epochs, experiment.measurements)
    return {
        key: Search(settings, **run.cached(label(name, key), search, data, settings, budget))
        for key, settings in tqdm(experiment.plan.items(), desc=name, disable=None)
    }


def log(run: RunFolder, name: str, found: Searches, seeds: range) -> None:
    """Write a row for each measurement of each network."""
    run.log(
        *(
            {"experiment": name, **vars(setting), "seed": seed, **row}
            for searched in found.values()
            for setting, networks in zip(searched.settings, searched.rows, strict=True)
            for seed, rows in zip(seeds, networks, strict=True)
            for row in rows
        )
    )


def label(name: str, key: tuple) -> str:
    """Return what a search is called, for instance "weight-scale/batch/0.1"."""
    return "/".join([name, *(f"{part or 'none'}" for part in key)])


if __name__ == "__main__":
    start(main)
