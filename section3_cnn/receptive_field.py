"""What a unit of the CNN can see, in theory, and what it looks at, before and after training.

Writes <runs-dir>/receptive_field/: the table, the fields drawn over a digit, the effective fields.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.fields import (
    Field,
    effective_field,
    effective_side,
    receptive_fields,
    unit_gradients,
)
from section3_cnn.fit import fit_network
from section3_cnn.model import ARCHS, POOLS, Sequential, build_cnn
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.datasets.gray_images import ImageData, load_image_data
from shared_utils.errors import UserError
from shared_utils.runs.folder import RunFolder
from shared_utils.seed import stream
from shared_utils.stats import mean_std

HERE = Path(__file__).resolve().parent
QUICK = {"limit": 2000, "images": 250, "seeds": 2}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(
        parser,
        HERE / "runs",
        epochs=2,
        batch_size=64,
        lr=(0.01, "%(default)s, the rate of the first step of one cycle"),
        seeds=3,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
    )
    parser.add_argument(
        "--arch", choices=ARCHS, default="small", help="the network (default: %(default)s)"
    )
    parser.add_argument(
        "--pool", choices=list(POOLS), default="max", help="all pools (default: %(default)s)"
    )
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
    with open_run(args, "receptive_field", data.describe()) as run:
        images, measured = data.x_val[: args.images], []  # one entry a seed
        for seed in range(args.seed, args.seed + args.seeds):
            model = build_cnn(args.arch, args.pool, rng=stream(seed, "init"))
            fields = receptive_fields(model)
            if not measured:
                print_table(fields)
            before = {field.name: effective_field(model, field, images) for field in fields}
            train(model, seed, data, args, run)
            after = {field.name: effective_field(model, field, images) for field in fields}
            measured.append({"before": before, "after": after})

        summary = summarise(model, fields, measured, images) | {"data": data.name}
        run.write_json("summary.json", summary)
        print("\n".join(summary["conclusions"]))

        from section3_cnn import field_plots  # only now: Matplotlib takes a second to import

        title = f"{args.arch} CNN, {args.pool} pooling, {data.title}"
        field_plots.draw_theoretical(run.path / "theoretical.png", fields, images[0], title)
        field_plots.draw_effective(run.path / "effective.png", fields, measured[0], title)
        print(f"\nsummary and figures: {run.path}")
        field_plots.show_figures(args.no_show)
        return summary


def train(
    model: Sequential, seed: int, data: ImageData, args: argparse.Namespace, run: RunFolder
) -> None:
    """Train the network in place, with a progress bar."""
    from tqdm import tqdm

    images = args.epochs * len(data.y_train)
    with tqdm(desc=f"seed {seed}", total=images, disable=None, unit="img", unit_scale=True) as bar:
        try:
            fit_network(
                args.arch,
                seed,
                model,
                data,
                run,
                epochs=args.epochs,
                batch_size=args.batch_size,
                lr=args.lr,
                schedule="onecycle",
                bar=bar,
            )
        except FloatingPointError as error:
            raise UserError(f"{error}: try a smaller --lr") from error


def summarise(
    model: Sequential, fields: list[Field], measured: list[dict], images: np.ndarray
) -> dict:
    """Return `summary.json`: every layer's geometry and effective field, and what they say."""
    layers, lines = {}, []
    for field in fields:
        gradients = unit_gradients(model, field.name, field.centre, images[:250])
        rows, cols = field.pixels(field.centre)
        gradients[:, rows, cols] = 0
        sides = {
            when: [effective_side(maps[when][field.name]) for maps in measured]
            for when in ("before", "after")
        }
        growth = [b - a for a, b in zip(sides["before"], sides["after"], strict=True)]
        layers[field.name] = vars(field) | {
            "effective_side": {when: mean_std(values) for when, values in sides.items()},
            "growth_by_training": mean_std(growth),
            "largest_gradient_outside_the_field": float(np.abs(gradients).max()),
        }
        lines.append(
            f"{field.name} can see {field.size[0]}x{field.size[1]} pixels and uses a square of "
            f"side {np.mean(sides['before']):.1f} before, {np.mean(sides['after']):.1f} after "
            f"training ({verdict(growth)})"
        )
    leak = max(entry["largest_gradient_outside_the_field"] for entry in layers.values())
    lines.append(f"largest gradient outside of the theoretical field, all layers: {leak:g}")
    return {"layers": layers, "conclusions": lines}


def verdict(growth: list[float]) -> str:
    """Say whether the change lies beyond the spread over seeds."""
    if len(growth) < 2:
        return "one seed: no spread to compare with"
    spread = np.std(growth, ddof=1)
    place = "beyond" if abs(np.mean(growth)) > 2 * spread else "within"
    return f"{np.mean(growth):+.2f}, {place} twice the spread over {len(growth)} seeds"


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
