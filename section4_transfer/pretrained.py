"""Features to start from: ImageNet's, a file's, or those of a task that needs no labels.

To say by how many quarter turns an image was rotated, a network must know what its contents look
like upright. The answer comes free with the turn, so the images need no labels, and what was
learned serves other tasks.

Source: Gidaris, Singh and Komodakis (2018), "Unsupervised representation learning by predicting
image rotations", section 2.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from section4_transfer.engine.weights import (
    file_digest,
    file_state,
    imagenet_state,
    normalization_of,
    read_json,
)
from section4_transfer.models import resnet18
from shared_utils.datasets.color_images import TorchData
from shared_utils.datasets.download import DownloadError
from shared_utils.errors import UserError
from shared_utils.runs import History

STAGES = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))  # before the head
_IMAGENET_NORMALIZATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class PretrainedWeights:
    """The weights that the pretrained networks begin with."""

    origin: str  # "imagenet", "rotation" or a path
    state: dict[str, Tensor]
    normalization: tuple[Tensor, Tensor] | None = None  # mean and deviation; None: the data's own
    title: str = ""  # of the data that they were made from, if that is known
    seconds: float = 0.0  # that the pretraining took; 0: unknown
    history: History | None = None  # of the pretraining, if it was done here
    sha256: str | None = None  # of the file, if they are a file's

    def describe(self) -> dict:
        """Return what `config.json` says of them."""
        return {"weights": self.origin, "weights_sha256": self.sha256}

    def normalization_for(self, data: TorchData) -> tuple[Tensor, Tensor]:
        """Return the mean and deviation to standardise images with, for these weights."""
        return self.normalization or data.statistics()


def load_pretrained(weights: str) -> tuple[PretrainedWeights | None, str]:
    """Return the weights that `--weights` names, None when they are to be made here, and a notice.

    Raises UserError when what was asked for cannot be had, or belongs to another network.
    """
    if weights == "rotation":
        return None, ""
    if weights not in ("auto", "imagenet"):
        pretrained = _from_file(Path(weights))
        load_backbone(resnet18(2), pretrained)  # fail now, not after an hour
        return pretrained, ""
    try:
        return PretrainedWeights("imagenet", imagenet_state(), _IMAGENET_NORMALIZATION), ""
    except DownloadError as error:
        tried = f"ImageNet's weights are not cached, and their download failed ({error})"
        if weights == "imagenet":
            raise UserError(f"{tried}: use --weights rotation, or a file of your own") from error
        return None, f"{tried}: pretraining on quarter turns of the training images instead"


def _from_file(path: Path) -> PretrainedWeights:
    """Return the weights in a file, and what the JSON beside it says of them if it is `pretrain`'s.

    Images must be standardised as in the training of these weights.
    """
    origin, state, beside = str(path), file_state(path), path.with_suffix(".json")
    sha256 = file_digest(path)
    remedy = "remove it, or pretrain again"
    about = read_json(beside, remedy) if beside.is_file() else {}
    if "mean" not in about:  # of another project
        return PretrainedWeights(origin, state, sha256=sha256)
    try:
        normalization = normalization_of(about)
        title, seconds = str(about["title"]), float(about.get("train_seconds", 0))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{beside} does not describe weights ({error}): {remedy}") from error
    return PretrainedWeights(origin, state, normalization, title, seconds, sha256=sha256)


def load_backbone(model: nn.Module, pretrained: PretrainedWeights) -> None:
    """Copy the pretrained weights into all of `model` but its head `fc`: every task has its own.

    Batch norm's counters of batches came with PyTorch 0.4.1, and the published ImageNet file is
    older: absent ones are 0, as in PyTorch. They change nothing here, where momentum is fixed.
    Raises UserError, naming the first keys that differ, when they are another network's.
    """
    own = model.state_dict()
    counters = {k: torch.zeros_like(v) for k, v in own.items() if k.endswith("num_batches_tracked")}
    state = counters | pretrained.state
    expected = {k: v.shape for k, v in own.items() if not k.startswith("fc.")}
    found = {k: v.shape for k, v in state.items() if not k.startswith("fc.")}
    wrong = [f"{key} is missing" for key in expected if key not in found]
    wrong += [f"{key} is unknown" for key in found if key not in expected]
    wrong += [
        f"{key} is {tuple(found[key])}, not {tuple(shape)}"
        for key, shape in expected.items()
        if key in found and found[key] != shape
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"{pretrained.origin} holds the weights of another network:"
            f" {'; '.join(wrong[:3])}{more}: give a state dict of torchvision's ResNet-18"
        )
    head = {k: v for k, v in own.items() if k.startswith("fc.")}
    model.load_state_dict({k: v for k, v in state.items() if k in expected} | head)


def freeze_stages(model: nn.Module, count: int) -> nn.Module:
    """Let the first `count` of ResNet-18's `STAGES` stay as they are in training; return the model.

    Their weights get no gradient, and their batch norm remains in eval mode.
    """
    for name in (name for stage in STAGES[:count] for name in stage):
        module = getattr(model, name).requires_grad_(False).eval()
        module.train = lambda mode=True, module=module: module  # model.train() does not reach it
    return model


def quarter_turns(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rotate each square image by 0 to 3 quarter turns, drawn at random; that is its new label."""
    turns = torch.randint(4, (len(x),), generator=generator).to(x.device)
    for k in (1, 2, 3):
        x = torch.where((turns == k)[:, None, None, None], x.rot90(k, (2, 3)), x)
    return x, turns


def all_quarter_turns(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return every image in all four turns, (4 N, 3, S, S), and the turns: a set to validate on."""
    turned = torch.cat([images.rot90(k, (2, 3)) for k in range(4)])
    return turned, torch.arange(4).repeat_interleave(len(images))
