"""A trained network in its run folder: a state dict, and beside it a JSON that says what it is.

The state dict alone (`resnet-20.pt`) is what PyTorch's users expect. Its `resnet-20.json` holds the
classes, the size of the images, the channels' mean and deviation and the architecture: all that is
needed to show the network a picture.
"""

from contextlib import suppress
from pathlib import Path

from torch import Tensor, nn

from section4_transfer.augment import Pipeline
from section4_transfer.engine.weights import file_state, normalization_of, read_json
from section4_transfer.models import CifarNet, resnet18
from shared_utils.errors import UserError
from shared_utils.weights_about import About, read_about

_REMEDY = "train again, or name another with --run and --arm"


def describe_network(model: nn.Module, pipeline: Pipeline) -> dict:
    """Return how to build `model` again, and what makes its input of an image's bytes."""
    architecture = {"name": "resnet18"}
    if isinstance(model, CifarNet):
        residual = model.blocks[0].residual
        architecture = {"name": "cifar", "depth": 2 + 2 * len(model.blocks), "residual": residual}
    return {
        "architecture": architecture,
        "mean": pipeline.mean.flatten().tolist(),
        "std": pipeline.std.flatten().tolist(),
        "seen_size": pipeline.size,  # null: the images' own
    }


def last_run(runs_dir: Path) -> Path:
    """Return the run folder whose networks were saved last.

    Raises UserError, naming the command that trains one, when there is none.
    """
    saved = [path for path in runs_dir.glob("*/*.json") if path.with_suffix(".pt").exists()]
    if not saved:
        command = "python section4_transfer/resnet_vs_plain.py"
        raise UserError(f"{runs_dir} holds no trained network: train one first: {command}")
    return max(saved, key=lambda path: path.stat().st_mtime).parent


def choose_network(folder: Path, arm: str | None) -> Path:
    """Return the JSON of the network called `arm`, or of the one with the best validation accuracy.

    `arm` is the name of its files, or its name in the study's tables.

    The best is one of the networks that the study compares: pretraining answers another question.
    Raises UserError when there is none.
    """
    saved = {p.stem: p for p in sorted(folder.glob("*.json")) if p.with_suffix(".pt").exists()}
    if arm is not None and arm in saved:
        return saved[arm]
    for path in saved.values() if arm is not None else ():
        with suppress(UserError):  # of another network
            if read_json(path, _REMEDY).get("arm") == arm:
                return path
    if arm is not None or not saved:
        known = f": there are {', '.join(saved)}" if saved else ""
        raise UserError(f"{folder} holds no network{f' called {arm}' if arm else ''}{known}")
    contents = {path: read_json(path, _REMEDY) for path in saved.values()}
    compared = {path: c for path, c in contents.items() if c.get("arm") != "rotation"}
    accuracies = {path: c.get("val_acc") for path, c in (compared or contents).items()}
    numbers = {path: acc for path, acc in accuracies.items() if isinstance(acc, float)}
    return max(numbers or accuracies, key=lambda path: numbers.get(path, 0.0))


def load_network(path: Path) -> tuple[nn.Module, Pipeline, About, str]:
    """Return a network by its JSON: the model, its pipeline, its classes and its precision.

    Raises UserError when the JSON or the weights are damaged or do not belong together. Nothing
    larger is built than the weights fill.
    """
    content, state = read_json(path, _REMEDY), file_state(path.with_suffix(".pt"))
    try:
        about = read_about(path, content, len(state["fc.bias"]))
        model = _build(content["architecture"], len(about.classes), state)
        model.load_state_dict(state)
        mean, std = normalization_of(content)
        size, precision = content["seen_size"], content["precision"]
        if size is not None and (type(size) is not int or not 1 <= size <= 4096):
            raise ValueError("its image size is not one")
        if precision not in ("fp32", "bf16"):
            raise ValueError("its precision is unknown")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} does not describe its weights ({reason}): {_REMEDY}") from error
    return model.eval(), Pipeline(mean, std, size=size), about, precision


def _build(architecture: dict, classes: int, state: dict[str, Tensor]) -> nn.Module:
    if architecture["name"] == "resnet18":
        return resnet18(classes)
    blocks = sum(key.startswith("blocks.") and key.endswith(".conv1.weight") for key in state)
    if architecture["name"] != "cifar" or architecture["depth"] != 2 + 2 * blocks:
        raise ValueError("it names another architecture")
    return CifarNet(architecture["depth"], classes, residual=architecture["residual"] is True)
