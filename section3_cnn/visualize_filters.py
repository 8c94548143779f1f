"""Open a trained CNN up: its filters, what they find, and which pixels decide.

Writes <runs-dir>/vis/: the filters of every convolution, the feature maps of every stage for the
classes asked for, the test patches that excite each filter most, and saliency maps.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.model import Sequential
from section3_cnn.study import filter_plots
from section3_cnn.study.experiment import sizes_of
from section3_cnn.study.fields import receptive_fields
from section3_cnn.study.inspection import saliency, strongest_patches
from section3_cnn.study.saved import load_model
from section3_cnn.training import predict
from shared_utils.cli import (
    add_shared_flags,
    folder_path,
    open_run,
    parse_args,
    positive_int,
    start,
)
from shared_utils.datasets.gray_images import ImageData, load_image_data
from shared_utils.datasets.names import enumeration
from shared_utils.errors import UserError
from shared_utils.plotting import show_figures

HERE = Path(__file__).resolve().parent
QUICK = {"test_images": 1000}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs", dataset="auto")
    parser.add_argument(
        "--ckpt",
        type=folder_path,
        default=HERE / "runs" / "mnist_numpy" / "best.pkl",
        help="weights that train_mnist_numpy.py wrote (default: %(default)s)",
    )
    parser.add_argument(
        "--digits",
        nargs="+",
        metavar="CLASS",
        help="draw feature maps for the first test image of each of these classes (default: 3 7; "
        "of data without them, the first two)",
    )
    parser.add_argument(
        "--test-images",
        type=positive_int,
        default=None,
        help="search this many test images for patches (default: all)",
    )
    parser.add_argument(
        "--patches", type=positive_int, default=6, help="patches a filter (default: %(default)s)"
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Load the network, look into it, write all figures, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    model, about = load_model(args.ckpt)
    data = load_image_data(args.dataset, args.data_dir)
    if about.get("dataset") != data.name:
        print(f"note: trained on {about.get('dataset')}, shown on {data.name}")
    check_fits(model, data)
    shown = find_classes(args.digits, data)
    title = f"{model.config['arch']} CNN, {data.title}"
    with open_run(args, "vis", data.describe()) as run:
        images = data.x_test[: args.test_images]
        strongest = draw_convolutions(run.path, model, images, args.patches, title)
        first = [np.flatnonzero(data.y_test == label)[0] for label in range(model.classes)]
        examples = data.x_test[first]
        for label in shown:
            name = data.classes[label]
            path = run.path / f"features_{name}.png"
            draw_features(path, model, examples[label], f"A {name} inside the {title}")
        predicted = predict(model, examples).argmax(axis=1)
        maps = saliency(model, examples, predicted)
        filter_plots.draw_saliency(
            run.path / "saliency.png",
            *(examples[:, 0], maps[:, 0], [data.classes[label] for label in predicted]),
            f"What speaks for the class ({title})",
        )
        figures = sorted(path.name for path in run.path.glob("*.png"))
        summary = {"data": data.name, "checkpoint": args.ckpt, "about": about}
        summary |= {"strongest": strongest, "figures": figures}
        run.write_json("summary.json", summary)
        print(f"{len(figures)} figures: {run.path}")
        show_figures(args.no_show)
        return summary


def check_fits(model: Sequential, data: ImageData) -> None:
    """Raise UserError unless the network was built for such images and as many classes."""
    sizes = sizes_of(data)
    if (model.image_shape[1:], model.classes) != tuple(sizes.values()):
        network, found = (
            "{} classes of {}x{} pixels".format(one["classes"], *one["image_size"])
            for one in (model.config, sizes)
        )
        raise UserError(
            f"the network knows {network}, but {data.title} has {found}:"
            " choose the data that it was trained on with --dataset and --data-dir"
        )


def find_classes(names: list[str] | None, data: ImageData) -> list[int]:
    """Return the labels of the classes called `names`, each once; without names, of two of them.

    Raises UserError for a name that no class has.
    """
    names = names or [name for name in ("3", "7") if name in data.classes] or data.classes[:2]
    for name in names:
        if name not in data.classes:
            wrong = f"--digits: {name} is not a class of {data.title}"
            raise UserError(f"{wrong}: choose from {enumeration(data.classes)}")
    return [data.classes.index(name) for name in dict.fromkeys(names)]


def draw_convolutions(
    folder: Path, model: Sequential, images: np.ndarray, best: int, title: str
) -> dict[str, list[float]]:
    """Draw filters and strongest patches; return each convolution's largest responses."""
    strongest = {}
    for field in receptive_fields(model, model.image_shape):
        name = field.name
        if not name.startswith("conv"):
            continue
        path, W = folder / f"filters_{name}.png", model.params[f"{name}.W"]
        filter_plots.draw_filters(path, W, f"Filters of {name} ({title})")
        patches, responses = strongest_patches(model, field, images, best)
        path = folder / f"patches_{name}.png"
        filter_plots.draw_patches(path, patches, f"Test patches that excite {name} most ({title})")
        strongest[name] = [float(row[0]) for row in responses]
    return strongest


def draw_features(path: Path, model: Sequential, image: np.ndarray, title: str) -> None:
    """Draw the maps that every stage makes of one image (1, H, W)."""
    model.eval()
    maps = dict(zip(model.names, model.outputs(image[None]), strict=True))
    stages = {name: out[0] for name, out in maps.items() if out.ndim == 4}
    filter_plots.draw_features(path, image[0], stages, title)


if __name__ == "__main__":
    start(main)
