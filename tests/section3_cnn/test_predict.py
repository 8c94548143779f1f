"""A trained CNN shown pictures: digits as PNG files are answered as the arrays were."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from section3_cnn import predict, train_mnist_numpy
from section3_cnn.model import build_cnn
from section3_cnn.study.saved import load_model, save_model
from section3_cnn.training import predict as logits_of
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.errors import UserError


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


def test_what_was_trained_answers_with_the_networks_own_probabilities(tmp_path, digits):
    options = ["--runs-dir", str(tmp_path / "runs"), "--no-show"]
    train_mnist_numpy.main(
        [
            "--quick",
            "--epochs",
            "1",
            "--dataset",
            "digits",
            "--limit",
            "300",
            "--threads",
            "1",
            *options,
        ]
    )
    answers = predict.main([str(tmp_path / "digits"), *options])
    model, about = load_model(tmp_path / "runs" / "mnist_numpy" / "best.pkl")
    assert about["classes"] == [*"0123456789"] and about["seed"] == 0
    logits = logits_of(model, digits)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    found = [[dict(answer.ranking)[label] for label in "0123456789"] for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert all(
        answer.ranking[0][0] == str(row.argmax())
        for answer, row in zip(answers, expected, strict=True)
    )


def test_weights_that_cannot_answer_are_refused_in_one_line(tmp_path, digits):
    options = [str(tmp_path / "digits"), "--runs-dir", str(tmp_path / "runs")]
    with pytest.raises(UserError, match=r"python section3_cnn/train_mnist_numpy\.py"):
        predict.main(options)
    model, path = build_cnn(rng=np.random.default_rng(0)), tmp_path / "best.pkl"
    about = {"dataset": "idx", "title": "x", "classes": [*"0123456789"], "seed": 0, "val_acc": 0.5}
    for content, words in {
        "earlier": ({"dataset": "mnist"}, "which classes"),
        "other": (about | {"image_size": [32, 32]}, "another size"),
    }.values():
        save_model(path, model, content)
        with pytest.raises(UserError, match=words):
            predict.main([*options, "--ckpt", str(path)])
    Path(path).write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    with pytest.raises(UserError, match="not a checkpoint"):
        predict.main([*options, "--ckpt", str(path)])
    assert not Path("hacked").exists()
