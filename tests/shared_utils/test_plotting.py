"""Figures: drawn whatever the backend, and whatever people call their classes."""

import os
import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared_utils.plotting import new_figure, save_figure

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["$100_vs_$50", "$", "$x^", r"$\alpha$", "a_b^c", "猫 🐈"]


def drawn(fig):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        buffer = BytesIO()
        fig.savefig(buffer)
    return np.asarray(Image.open(buffer))


def test_names_are_drawn_as_they_are_wherever_they_stand(tmp_path):
    fig, ax = new_figure()
    ax.bar(range(len(NAMES)), range(1, len(NAMES) + 1), label=NAMES[0])
    ax.set_xticks(range(len(NAMES)), labels=NAMES)
    ax.set(title=NAMES[1], xlabel=NAMES[2], ylabel=NAMES[3], yscale="log")
    ax.annotate(NAMES[3], (0, 1))
    fig.suptitle(NAMES[0])
    ax.legend(title=NAMES[2])
    save_figure(fig, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").exists()
    texts = {
        text.get_text(): text.get_parse_math()
        for text in fig.findobj(lambda a: hasattr(a, "get_parse_math"))
    }
    assert not any(texts[name] for name in NAMES)
    assert texts[r"$\mathdefault{10^{0}}$"]  # but the axis keeps its powers of ten


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline_gone", "nonsense"])
def test_an_unusable_backend_means_agg_and_is_reported_before_training(backend, tmp_path):
    script = (
        "import argparse, pathlib\n"
        "from shared_utils.cli import open_run\n"
        "from shared_utils.plotting import new_figure, save_figure, show_figures\n"
        f"args = argparse.Namespace(runs_dir=pathlib.Path({str(tmp_path)!r}))\n"
        "with open_run(args, 'x', {}) as run:\n"
        "    print('training')\n"
        "    save_figure(new_figure()[0], run.path / 'figure.png')\n"
        "    show_figures(False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"MPLBACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    notice, training = done.stdout.splitlines()
    assert f"MPLBACKEND={backend} cannot be used" in notice and training == "training"
    assert (tmp_path / "x" / "figure.png").exists()
