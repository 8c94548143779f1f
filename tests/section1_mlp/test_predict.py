"""A trained MLP shown pictures: digits as PNG files are answered as the arrays were."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from section1_mlp import predict
from section1_mlp.model import MLP
from section1_mlp.study.saved import save_model
from section1_mlp.training import flat
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.errors import UserError

ABOUT = {
    "dataset": "digits",
    "title": "digits",
    "classes": [*"abcdefghij"],
    "image_size": [28, 28],
    "seed": 0,
    "val_acc": 0.5,
}
SCRIPT = Path(predict.__file__)


def save(path: Path, seed: int = 0, sizes=(784, 16, 10), **changes) -> MLP:
    """Write the weights of a network of random weights; return the network."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = MLP(sizes, "relu", rng=np.random.default_rng(seed))
    save_model(path, model, {k: v for k, v in (ABOUT | changes).items() if v is not None})
    return model


@pytest.fixture
def digits(tmp_path) -> np.ndarray:
    """Test digits, (20, 1, 28, 28), that lie as PNG files in <tmp_path>/digits too."""
    x = load_image_data("digits", tmp_path).x_test[:20]
    (tmp_path / "digits").mkdir()
    for number, image in enumerate(x):
        Image.fromarray((image[0] * 255).astype(np.uint8)).save(
            tmp_path / "digits" / f"{number:02}.png"
        )
    return x


def test_the_best_network_of_the_last_run_answers_from_anywhere(tmp_path, digits):
    runs = tmp_path / "runs"
    save(runs / "train" / "relu.pkl", seed=1, val_acc=0.8)
    best = save(runs / "train" / "tanh.pkl", seed=2, val_acc=0.9)
    save(runs / "train" / "sigmoid.pkl", seed=3, val_acc=0.7)
    command = [sys.executable, str(SCRIPT), "digits/*.png", "--json", "--runs-dir", str(runs)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    probabilities = best.forward(flat(digits))
    assert [one["label"] for one in found] == ["abcdefghij"[k] for k in probabilities.argmax(1)]
    expected = probabilities.max(axis=1)
    np.testing.assert_allclose([one["probability"] for one in found], expected, rtol=1e-5)


def test_images_of_ones_own_data_are_only_scaled(tmp_path, digits):
    model = save(tmp_path / "idx.pkl", sizes=(12, 10), dataset="idx", image_size=[3, 4])
    grey = np.linspace(0, 255, 12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(grey).save(tmp_path / "x.png")
    options = ["--weights", str(tmp_path / "idx.pkl"), "--runs-dir", str(tmp_path / "runs")]
    answers = predict.main([str(tmp_path / "x.png"), *options])
    np.testing.assert_allclose(answers[0].seen[0], grey / 255, atol=1e-6)
    expected = model.forward(grey.reshape(1, 12) / 255)[0]
    assert dict(answers[0].ranking) == pytest.approx(dict(zip("abcdefghij", expected, strict=True)))


def test_without_a_network_the_command_that_trains_one_is_named(tmp_path, digits):
    options = [str(tmp_path / "digits"), "--runs-dir", str(tmp_path / "runs")]
    with pytest.raises(UserError, match=r"python section1_mlp/train\.py"):
        predict.main(options)
    with pytest.raises(UserError, match="does not exist"):
        predict.main([*options, "--weights", str(tmp_path / "none.pkl")])


def test_weights_of_another_kind_are_refused(tmp_path, digits):
    options = [str(tmp_path / "digits"), "--runs-dir", str(tmp_path / "runs"), "--weights"]
    save(tmp_path / "earlier.pkl", classes=None)
    save(tmp_path / "size.pkl", image_size=[8, 8])
    model = MLP((784, 10), "relu", "linear", rng=np.random.default_rng(0))
    save_model(tmp_path / "regressor.pkl", model, ABOUT)
    for name, words in {
        "earlier": "which classes",
        "size": "images",
        "regressor": "classifier",
    }.items():
        with pytest.raises(UserError, match=words):
            predict.main([*options, str(tmp_path / f"{name}.pkl")])
