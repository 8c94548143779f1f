"""The playground's page: a template of HTML and JavaScript, filled with two sets of weights.

The page knows no architecture. It gets a list of layers, in order, with their geometry and their
arrays, and applies them one after the other, as `Sequential` does: whatever `build_cnn` returns can
be played with.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from section3_cnn.layers import AvgPool2D, Layer, MaxPool2D
from section3_cnn.model import Sequential
from section3_cnn.study.fields import receptive_fields

TEMPLATE = Path(__file__).with_name("playground.html")
KINDS = {
    "conv": "convolution",
    "max": "largest of each window",
    "avg": "mean of each window",
    "relu": "ReLU",
    "norm": "batch norm",
    "fc": "fully connected",
}


def render(trained: Sequential, untrained: Sequential, labels: Sequence[str], about: str) -> str:
    """Return the page for two networks of one architecture; `about` is the sentence at its top.

    No text of the data can end the script that it stands in, and the browser obeys no other script
    or style, and asks for nothing: the page's policy names both by their digests.
    """
    network = {
        "about": about,
        "labels": list(labels),
        "kinds": KINDS,
        "layers": describe_layers(trained),
        "weights": {"trained": encode(trained), "untrained": encode(untrained)},
    }
    page = TEMPLATE.read_text(encoding="utf-8")
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)[1]
    script = re.search("<script>(.*?)</script>", page, re.DOTALL)[1]
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(network).replace("<", "\\u003c")
    return page.replace("{{ policy }}", policy).replace("{{ network }}", data)


def describe_layers(model: Sequential) -> list[dict]:
    """Return each layer's name, kind, window and receptive field, in the words of the page.

    A layer without a window sees what the one before it sees; the image's pixels see themselves.
    """
    fields = {field.name: field for field in receptive_fields(model, model.image_shape)}
    field = {"start": (0, 0), "jump": (1, 1), "size": (1, 1)}
    layers = []
    for name, layer in zip(model.names, model.layers, strict=True):
        described = {"name": name, "kind": _kind(layer)}
        if name in fields:
            field = {key: getattr(fields[name], key) for key in field}
            window = {"kernel": layer.kernel_size, "stride": layer.stride}
            described |= window | {"padding": layer.padding}
        elif layer.kind == "flatten":
            field = {"start": (0, 0), "jump": (0, 0), "size": model.image_shape[1:]}
        elif layer.kind == "norm":
            described["eps"] = layer.eps
        layers.append(described | {"field": field})
    return layers


def encode(model: Sequential) -> list[dict]:
    """Return each layer's arrays by their names, as 32-bit floats, the lowest byte first."""
    return [
        {
            key: {
                "shape": array.shape,
                "base64": base64.b64encode(array.astype("<f4").tobytes()).decode(),
            }
            for key, array in (layer.params | layer.state).items()
        }
        for layer in model.layers
    ]


def _kind(layer: Layer) -> str:
    pools = {MaxPool2D: "max", AvgPool2D: "avg"}
    return pools.get(type(layer), layer.kind)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
