"""Images of other sizes than MNIST's, of other classes than digits: every script takes them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from section3_cnn import (
    playground,
    pooling_comparison,
    predict,
    receptive_field,
    train_mnist_numpy,
    visualize_filters,
)
from section3_cnn.study import filter_plots
from section3_cnn.study.saved import load_model
from shared_utils.datasets.idx import encode_idx
from shared_utils.errors import UserError


def write_idx(folder: Path, size: tuple[int, int], classes: int, per_class: int) -> None:
    """Write four IDX files: noise, and a bright band whose height tells the class: 4, 5, 6, ..."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    band = size[0] // classes
    for part, n in (("train", classes * per_class), ("t10k", classes * 4)):
        labels = np.arange(n, dtype=np.uint8) % classes
        images = rng.integers(0, 60, (n, *size), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[band * label : band * (label + 1)] += 150
        (folder / f"{part}-images-idx3-ubyte").write_bytes(encode_idx(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(encode_idx(labels + 4))


def options(data: Path, runs: Path) -> list[str]:
    return ["--dataset", "idx", "--data-dir", str(data), "--runs-dir", str(runs), "--no-show"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path, dict]:
    """Train on images of 20x17 in three classes; return the data's folder, the runs, the summary"""
    data, runs = tmp_path_factory.mktemp("bands"), tmp_path_factory.mktemp("runs")
    write_idx(data, (20, 17), 3, 30)
    budget = ["--epochs", "3", "--batch-size", "8", "--threads", "2", "--augment"]
    return data, runs, train_mnist_numpy.main([*options(data, runs), *budget])


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> Path:
    """Return a folder of images of 32x32 in 26 classes."""
    data = tmp_path_factory.mktemp("letters")
    write_idx(data, (32, 32), 26, 4)
    return data


def test_images_of_another_size_and_other_classes_are_learned(trained):
    _, runs, summary = trained
    assert summary["runs"]["small"]["test_acc"] > 0.9
    model, about = load_model(runs / "mnist_numpy" / "best.pkl")
    assert (model.image_shape, model.classes) == ((1, 20, 17), 3)
    assert about["classes"] == ["4", "5", "6"] and about["image_size"] == [20, 17]
    assert model.params["fc1.W"].shape == (16 * 5 * 4, 128)


def test_a_picture_is_answered_with_the_class_of_the_data(trained, tmp_path):
    _, runs, _ = trained
    grey = np.full((20, 17), 30, np.uint8)
    grey[12:18] += 150  # the third band
    Image.fromarray(grey).save(tmp_path / "x.png")
    (answer,) = predict.main([str(tmp_path / "x.png"), "--runs-dir", str(runs), "--no-show"])
    np.testing.assert_allclose(answer.seen[0], grey / 255, atol=1e-6)
    model, _ = load_model(runs / "mnist_numpy" / "best.pkl")
    logits = model.forward(grey[None, None] / 255)[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert answer.ranking[0][0] == "6"
    ranking = dict(zip(["4", "5", "6"], expected, strict=True))
    assert dict(answer.ranking) == pytest.approx(ranking, rel=1e-4)


def test_looking_inside_names_the_classes_of_the_data(trained, tmp_path, monkeypatch):
    data, runs, _ = trained
    seen = []
    draw = filter_plots.draw_saliency
    monkeypatch.setattr(
        filter_plots, "draw_saliency", lambda *given: (seen.append(given[3]), draw(*given))
    )
    argv = [*options(data, tmp_path), "--ckpt", str(runs / "mnist_numpy" / "best.pkl")]
    summary = visualize_filters.main(argv)
    assert {"features_4.png", "features_5.png", "saliency.png"} < set(summary["figures"])
    assert "features_6.png" not in summary["figures"]
    assert seen == [["4", "5", "6"]]
    with pytest.raises(UserError, match=r"--digits: 3 is not a class of bands\S*: .* 4, 5, 6"):
        visualize_filters.main([*argv, "--digits", "3"])


def test_looking_inside_with_other_data_says_which_it_was_trained_on(trained, letters, tmp_path):
    ckpt = trained[1] / "mnist_numpy" / "best.pkl"
    with pytest.raises(UserError) as error:
        visualize_filters.main([*options(letters, tmp_path), "--ckpt", str(ckpt)])
    assert "knows 3 classes of 20x17 pixels, but letters" in str(error.value)
    assert "has 26 classes of 32x32 pixels" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_fields_and_comparison_take_such_images_too(trained, tmp_path):
    data = trained[0]
    argv = [*options(data, tmp_path), "--epochs", "1", "--batch-size", "8", "--seeds", "1"]
    layers = receptive_field.main([*argv, "--images", "5"])["layers"]
    assert layers["pool2"]["units"] == (5, 4)
    runs = pooling_comparison.main([*argv, "--threads", "2"])["runs"]
    # 340 pixels; 5x5 places, begun ones included, without pools, 5x4 full ones with them
    features, convolutions = {"mlp": 340, "strided": 400, "avg": 320, "max": 320}, 80 + 1168
    for name, number in features.items():
        expected = 128 * number + 128 + 3 * 128 + 3 + (convolutions if name != "mlp" else 0)
        assert runs[name]["parameters"] == expected


def test_twenty_six_classes_fit_into_the_figures_of_the_deep_network(letters, tmp_path):
    argv = options(letters, tmp_path)
    train_mnist_numpy.main([*argv, "--arch", "deep", "--epochs", "1", "--threads", "1"])
    ckpt = tmp_path / "mnist_numpy" / "best.pkl"
    visualize_filters.main([*argv, "--ckpt", str(ckpt), "--digits", "29"])
    assert (tmp_path / "vis" / "features_29.png").exists()
    with Image.open(tmp_path / "vis" / "saliency.png") as picture:
        width, height = picture.size
    assert width < 2 * height  # three rows of ten, not one of 26
    config = json.loads((tmp_path / "mnist_numpy" / "config.json").read_text())
    assert len(config["data"]["classes"]) == 26
    with pytest.raises(UserError, match=r"knows images of 32x32 pixels: .* 28x28 only") as error:
        playground.main(["--ckpt", str(ckpt), "--runs-dir", str(tmp_path)])
    assert "\n" not in str(error.value) and not (tmp_path / "playground").exists()


@pytest.mark.parametrize(
    ("script", "more", "least"),
    [
        (train_mnist_numpy, ["--arch", "deep"], "8x8"),
        (train_mnist_numpy, [], "4x4"),
        (receptive_field, [], "4x4"),
        (pooling_comparison, [], "4x4"),
    ],
)
def test_images_that_are_too_small_are_refused_in_one_line(script, more, least, tmp_path):
    size = (7, 9) if more else (3, 9)
    write_idx(tmp_path / "data", size, 3, 4)
    with pytest.raises(UserError) as error:
        script.main([*options(tmp_path / "data", tmp_path / "runs"), *more])
    assert str(error.value).startswith(f"images of {size[0]}x{size[1]} pixels are too small for")
    assert str(error.value).endswith(f"it needs {least} or more")
    assert not (tmp_path / "runs").exists()
