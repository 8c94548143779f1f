"""What a unit of the CNN can see, in theory, and what it looks at, before and after training.

Writes <runs-dir>/receptive_field/: the table, the fields drawn over a digit, the effective fields.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.model import Sequential, build_cnn
from section3_cnn.speed import Workers
from section3_cnn.study.experiment import sizes_of, train_all
from section3_cnn.study.field_plots import draw_effective, draw_theoretical
from section3_cnn.study.fields import (
    Field,
    effective_field,
    effective_side,
    receptive_fields,
    unit_gradients,
)
from section3_cnn.study.flags import add_network_flags, add_training_flags
from section3_cnn.training import Settings
from shared_utils.cli import open_run, parse_args, positive_int, start
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.plotting import show_figures
from shared_utils.seed import stream
from shared_utils.stats import mean_std, paired_difference

HERE = Path(__file__).resolve().parent
QUICK = {"limit": 2000, "images": 250, "seeds": 2}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_training_flags(parser, HERE / "runs", epochs=2, seeds=3)
    add_network_flags(parser)
    parser.add_argument(
        "--images",
        type=positive_int,
        default=1000,
        help="validation images that the effective field is averaged over (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Derive the table, measure before and after training, write all outputs."""
    args = parse_args(build_parser(), argv, QUICK)
    data = load_image_data(args.dataset, args.data_dir, args.limit)
    settings = Settings(args.epochs, args.batch_size, args.lr)
    sizes = sizes_of(data)
    networks = [
        (args.arch, seed, build_cnn(args.arch, args.pool, **sizes, rng=stream(seed, "init")))
        for seed in range(args.seed, args.seed + args.seeds)
    ]
    model, images = networks[0][2], data.x_val[: args.images]
    fields = receptive_fields(model, model.image_shape)
    print_table(fields)
    with open_run(args, "receptive_field", data.describe()) as run, Workers(model, 1) as workers:
        before = {seed: effective_fields(net, fields, images) for _, seed, net in networks}
        outcomes = train_all(networks, data, settings, run, workers)
        measured = [
            {"before": before[one.seed], "after": effective_fields(one.model, fields, images)}
            for one in outcomes
        ]
        summary = summarize_fields(outcomes[-1].model, fields, measured, images)
        run.write_json("summary.json", summary | {"data": data.name})
        print("\n" + "\n".join(summary["conclusions"]))

        title = f"{args.arch} CNN, {args.pool} pooling, {data.title}"
        draw_theoretical(run.path / "theoretical.png", fields, images[0], title)
        draw_effective(run.path / "effective.png", fields, measured[0], title)
        print(f"\nsummary and figures: {run.path}")
        show_figures(args.no_show)
        return summary


def effective_fields(model: Sequential, fields: list[Field], images: np.ndarray) -> dict:
    """Return the effective field of every layer, by its name."""
    return {field.name: effective_field(model, field, images) for field in fields}


def summarize_fields(
    model: Sequential, fields: list[Field], measured: list[dict], images: np.ndarray
) -> dict:
    """Return `summary.json`: every layer's geometry and effective field, and what they say.

    `measured` holds the effective fields "before" and "after" training, an entry a seed.
    """
    layers, lines = {}, []
    for field in fields:
        gradients = unit_gradients(model, field.name, field.centre, images[:250])
        rows, cols = field.pixels(field.centre)
        gradients[:, rows, cols] = 0
        before, after = (
            [effective_side(maps[when][field.name]) for maps in measured]
            for when in ("before", "after")
        )
        growth = paired_difference(after, before, comparisons=len(fields))
        layers[field.name] = vars(field) | {
            "effective_side": {"before": mean_std(before), "after": mean_std(after)},
            "growth_by_training": mean_std([b - a for a, b in zip(before, after, strict=True)]),
            "largest_gradient_outside_the_field": float(np.abs(gradients).max()),
        }
        lines.append(
            f"{field.name} can see {field.size[0]}x{field.size[1]} pixels and uses a square of "
            f"side {np.mean(before):.1f} before, {np.mean(after):.1f} after training; "
            + growth.sentence("side, after minus before", unit="pixels", scale=1)
        )
    leak = max(entry["largest_gradient_outside_the_field"] for entry in layers.values())
    lines.append(f"largest gradient outside of the theoretical field, all layers: {leak:g}")
    return {"layers": layers, "conclusions": lines}


def print_table(fields: list[Field]) -> None:
    """Print a line a layer, in input pixels."""
    columns = ("kernel", "stride", "padding", "jump", "start", "size")
    heads = (*columns[:-1], "field")
    print(f"\n{'layer':<8}" + "".join(f"{head:>10}" for head in heads))
    for field in fields:
        pairs = (getattr(field, column) for column in columns)
        texts = (str(a) if a == b else f"{a},{b}" for a, b in pairs)
        print(f"{field.name:<8}" + "".join(f"{text:>10}" for text in texts))
    print()


if __name__ == "__main__":
    start(main)
