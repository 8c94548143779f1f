"""Open a trained CNN up: its filters, what they find, and which pixels decide.

Writes <runs-dir>/vis/: the filters of every convolution, the feature maps of every stage for the
digits asked for, the test patches that excite each filter most, and saliency maps.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.checkpoint import load_model
from section3_cnn.fields import receptive_fields
from section3_cnn.inspection import saliency, strongest_patches
from section3_cnn.model import CLASSES
from section3_cnn.training import predict
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.datasets.gray_images import load_image_data

HERE = Path(__file__).resolve().parent
QUICK = {"test_images": 1000}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs", dataset="auto")
    parser.add_argument(
        "--ckpt",
        type=Path,
        default=HERE / "runs" / "mnist_numpy" / "best.pkl",
        help="weights that train_mnist_numpy.py wrote (default: %(default)s)",
    )
    parser.add_argument(
        "--digits",
        nargs="+",
        type=int,
        choices=range(CLASSES),
        default=[3, 7],
        help="draw feature maps for the first test image of each (default: 3 7)",
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
    with open_run(args, "vis", data.describe()) as run:
        from section3_cnn import vis_plots  # only now: Matplotlib takes a second to import

        written, title = [], f"{model.config['arch']} CNN, {data.title}"
        fields = {field.name: field for field in receptive_fields(model)}
        convolutions = [name for name in model.names if name.startswith("conv")]
        test_images = data.x_test[: args.test_images]
        summary = {"data": data.name, "checkpoint": args.ckpt, "about": about, "strongest": {}}
        for name in convolutions:
            W = model.params[f"{name}.W"]
            written.append(run.path / f"filters_{name}.png")
            vis_plots.draw_filters(written[-1], W, f"Filters of {name} ({title})")
            patches, responses = strongest_patches(model, fields[name], test_images, args.patches)
            written.append(run.path / f"patches_{name}.png")
            vis_plots.draw_patches(
                written[-1], patches, f"Test patches that excite {name} most ({title})"
            )
            summary["strongest"][name] = [float(row[0]) for row in responses]
        for digit in dict.fromkeys(args.digits):
            image = data.x_test[np.flatnonzero(data.y_test == digit)[0]]
            model.eval()
            maps = dict(zip(model.names, model.outputs(image[None]), strict=True))
            stages = {name: out[0] for name, out in maps.items() if out.ndim == 4}
            written.append(run.path / f"features_{digit}.png")
            vis_plots.draw_features(written[-1], image[0], stages, f"A {digit} inside the {title}")

        examples = np.array([np.flatnonzero(data.y_test == c)[0] for c in range(CLASSES)])
        images = data.x_test[examples]
        predicted = predict(model, images).argmax(axis=1)
        maps = saliency(model, images, predicted)
        written.append(run.path / "saliency.png")
        vis_plots.draw_saliency(
            written[-1], images[:, 0], maps[:, 0], predicted, f"What speaks for the class ({title})"
        )
        summary["figures"] = [path.name for path in written]
        run.write_json("summary.json", summary)
        print(f"{len(written)} figures: {run.path}")
        vis_plots.show_figures(args.no_show)
        return summary


if __name__ == "__main__":
    start(main)
