"""Saving an MLP, and loading it without trusting the file."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from section1_mlp.model import MLP
from shared_utils.errors import UserError
from shared_utils.runs.checkpoints import load_checkpoint, save_checkpoint
from shared_utils.weights_about import read_about


def save_model(path: Path, model: MLP, about: dict) -> None:
    """Write the model's configuration, its parameters, and `about` (what it was trained on)."""
    config = {
        "layer_sizes": list(model.layer_sizes),
        "activation": model.activation,
        "output": model.output,
        "dtype": model.dtype.name,
    }
    save_checkpoint(path, {"config": config, "params": model.params, "about": about})


def load_model(path: Path) -> tuple[MLP, dict]:
    """Return the model and `about` from a file that `save_model` wrote.

    Raises UserError when the file is missing or damaged, or when its arrays are not those that its
    configuration asks for.
    """
    checkpoint = load_checkpoint(path)
    try:
        config, params, about = (checkpoint[key] for key in ("config", "params", "about"))
        sizes = config["layer_sizes"]
        shapes = {}
        for layer, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
            shapes |= {f"W{layer}": (n_in, n_out), f"b{layer}": (n_out,)}
        # Before the model is built: sizes that the file does not fill with numbers cost nothing.
        found = {key: param.shape for key, param in params.items()}
        if found != shapes:
            raise ValueError(f"arrays of shapes {found} where {shapes} belong")
        model = MLP(
            sizes,
            config["activation"],
            config["output"],
            rng=np.random.default_rng(0),
            dtype=config["dtype"],
        )
        for key, param in model.params.items():
            param[:] = params[key]
            if not np.isfinite(param).all():
                raise ValueError(f"{key} holds values that are not finite")
        if not isinstance(about, dict):
            raise ValueError("it does not say what it was trained on")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} does not hold an MLP of this section ({error}): train again"
        ) from error
    return model, about


def best_weights(folder: Path) -> Path:
    """Return the file in a run's folder whose network has the best validation accuracy.

    Raises UserError when there is none, or when one is damaged.
    """

    def val_acc(path: Path) -> float:
        model, about = load_model(path)
        return read_about(path, about, model.layer_sizes[-1]).val_acc

    files = sorted(folder.glob("*.pkl"))
    if not files:
        command = "python section1_mlp/train.py"
        raise UserError(f"{folder} holds no trained network: train one first: {command}")
    return max(files, key=val_acc)
