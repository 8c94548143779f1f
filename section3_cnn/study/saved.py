"""Saving a network, and loading it without trusting the file."""

from pathlib import Path

import numpy as np

from section3_cnn.model import CLASSES, IMAGE_SIZE, Sequential, build_cnn, count_features
from shared_utils.errors import UserError
from shared_utils.runs.checkpoints import load_checkpoint, save_checkpoint


def save_model(path: Path, model: Sequential, about: dict) -> None:
    """Write the network's configuration, its arrays, and `about` (what it was trained on)."""
    arrays = {"params": model.params, "state": model.state}
    save_checkpoint(path, {"config": model.config, **arrays, "about": about})


def load_model(path: Path) -> tuple[Sequential, dict]:
    """Return the network, ready for use, and `about` from a file that `save_model` wrote.

    Raises UserError when the file is missing or damaged, or when its arrays are not those of the
    architecture that it names. A file without image size and classes is older than the choice.
    """
    if not path.exists():
        command = "python section3_cnn/train_mnist_numpy.py"
        raise UserError(f"{path} does not exist: train a network first: {command}")
    checkpoint = load_checkpoint(path)
    try:
        sizes = {"image_size": IMAGE_SIZE, "classes": CLASSES}
        config, about = sizes | checkpoint["config"], checkpoint["about"]
        if not isinstance(about, dict) or config["dtype"] not in ("float32", "float64"):
            raise ValueError("its configuration is not one of ours")
        # Before the model is built: sizes that the file does not fill with numbers cost nothing.
        wanted = (count_features(config["arch"], config["image_size"]), config["classes"])
        found = tuple(len(checkpoint["params"][key]) for key in ("fc1.W", "fc2.b"))
        if found != wanted:
            raise ValueError(f"features and classes are {found}, in the network {config} {wanted}")
        model = build_cnn(rng=np.random.default_rng(0), **config)
        for kind, arrays in (("params", model.params), ("state", model.state)):
            found = {key: (array.shape, array.dtype) for key, array in checkpoint[kind].items()}
            wanted = {key: (array.shape, array.dtype) for key, array in arrays.items()}
            for key in found.keys() ^ wanted.keys():
                raise ValueError(f"{key} is in the file or in the network {config}, not in both")
            for key, (shape, dtype) in wanted.items():
                if found[key] != (shape, dtype):
                    raise ValueError(f"{key} is {found[key]}, not {shape, dtype}")
                arrays[key][:] = checkpoint[kind][key]
                if not np.isfinite(arrays[key]).all():
                    raise ValueError(f"{key} is not finite")
    except (KeyError, TypeError, ValueError, AttributeError, UserError) as error:
        raise UserError(f"{path} holds no CNN of this section ({error}): train again") from error
    model.eval()
    return model, about
