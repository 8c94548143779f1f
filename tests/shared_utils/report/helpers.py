"""Run folders made by hand, and a reader of the page that knows HTML."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

COMMAND = ["python", "section1_mlp/train.py"]
ENTRY = {
    "command": "python section1_mlp/train.py --seeds 3",
    "folder": "section1_mlp/runs/train",
    "data": "mnist",
    "hardware": "two cores",
    "values": [
        {
            "what": "relu, test accuracy",
            "path": ["runs", "relu", "over_seeds", "test_acc", "mean"],
            "value": 0.98,
            "tolerance": 0.002,
            "unit": "%",
            "published": {"value": 0.95, "source": "A. Author 1998"},
        },
        {
            "what": "gain",
            "path": ["gains", "crop", 0],
            "value": 1.5,
            "tolerance": 0.5,
            "unit": "points",
        },
    ],
}


def make_run(path: Path, flags=("--seeds", "3"), mean=0.981, gain=1.6, **config) -> Path:
    """Write a finished run of Section 1's comparison with one figure."""
    path.mkdir(parents=True)
    config = {
        "command": [*COMMAND, *flags],
        "args": {"quick": "--quick" in flags, "limit": None},
        "data": {"name": "mnist", "notice": "", "sha256": "ab" * 32, "pixels": "12" * 32},
        "started": "2026-01-02T03:04:05+0000",
    } | config
    summary = {
        "data": "mnist",
        "runs": {
            "relu": {
                "test_acc": 0.9834,
                "test_ci95": [0.98, 0.985],
                "over_seeds": {"test_acc": {"mean": mean, "std": 0.0003, "n": 3}},
            },
            "tanh": {
                "test_acc": 0.5,
                "test_ci95": [0.4, 0.6],
                "over_seeds": {"test_acc": {"mean": 0.52, "std": None, "n": 1}},
            },
        },
        "gains": {"crop": [gain, 1.0, 2.0]},
        "conclusions": ["relu is first"],
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "summary.json").write_text(json.dumps(summary))
    (path / "metrics.csv").write_text("arm,epoch,loss\nrelu,1,0.5\nrelu,2,0.25\n")
    draw(path / "curves.png")
    return path


def draw(path: Path) -> None:
    """Write a small PNG that is no other's."""
    seed = sum(map(ord, path.name))
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(path)


class Page(HTMLParser):
    """The elements of a page in their order: (tag, attributes, the text inside)."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, html: str):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(html)
        self.close()
        assert not self._open, "an element was not closed"

    def handle_starttag(self, tag, attributes):
        element = [tag, dict(attributes), ""]
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for element in self._open:
            element[2] += data

    def all(self, tag: str) -> list[tuple[dict, str]]:
        return [
            (attributes, " ".join(text.split()))
            for t, attributes, text in self.elements
            if t == tag
        ]

    def text(self, **wanted) -> str:
        """Return the text of the one element with these attributes."""
        found = [e for e in self.elements if wanted.items() <= e[1].items()]
        assert len(found) == 1
        return " ".join(found[0][2].split())
