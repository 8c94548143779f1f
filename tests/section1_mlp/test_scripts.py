"""Section 1's scripts as a user runs them: what they write, that they repeat, how they refuse."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from section1_mlp import quickstart, test, train
from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from section1_mlp.study.saved import load_model, save_model
from section1_mlp.training import fit, flat
from shared_utils import plotting
from shared_utils.cli import parse_args
from shared_utils.datasets import mnist
from shared_utils.datasets.download import DownloadError
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.datasets.idx import encode_idx
from shared_utils.errors import UserError
from shared_utils.runs.checkpoints import save_checkpoint
from shared_utils.seed import stream

DIGITS = ["--dataset", "digits", "--no-show"]
SMALL = [*DIGITS, "--epochs", "2", "--limit", "300", "--hidden", "12"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train all three networks for a moment; return the runs folder and the summary."""
    runs = tmp_path_factory.mktemp("runs")
    summary = train.main([*SMALL, "--seeds", "2", "--runs-dir", str(runs)])
    return runs, summary


def test_a_tilde_in_a_flag_is_the_home_folder():
    args = test.build_parser().parse_args(["--ckpt=~/relu.pkl"])
    assert args.ckpt == Path.home() / "relu.pkl"


def test_default_run_on_digits_learns_them(tmp_path, no_rendering):
    summary = train.main([*DIGITS, "--runs-dir", str(tmp_path), "--activations", "relu"])
    assert summary["runs"]["relu"]["test_acc"] >= 0.96


def test_the_quickstart_learns_the_digits(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quickstart, "load_image_data", lambda *_: load_image_data("digits", None))
    assert quickstart.main(["--data-dir", str(tmp_path)])["test_acc"] > 0.85
    assert "test accuracy on scikit-learn digits" in capsys.readouterr().out


def test_training_writes_everything(trained):
    runs, summary = trained
    written = {path.name for path in (runs / "train").iterdir()}
    figures = {"curves", "activations", "gradient_norms", "confusion", "mistakes"}
    assert written == {
        *("config.json", "metrics.csv", "summary.json"),
        *(f"{activation}.pkl" for activation in ("relu", "tanh", "sigmoid")),
        *(f"{figure}.png" for figure in figures),
    }
    assert all((runs / "train" / f"{name}.png").stat().st_size < 150_000 for name in figures)
    on_disk = json.loads((runs / "train" / "summary.json").read_text())
    assert on_disk["runs"]["relu"]["test_acc"] == summary["runs"]["relu"]["test_acc"]
    config = json.loads((runs / "train" / "config.json").read_text())
    assert config["data"]["name"] == "digits" and config["args"]["limit"] == 300


def test_the_summary_is_what_the_saved_weights_do(trained):
    runs, summary = trained
    digits = load_image_data("digits", None, limit=300)
    for activation, result in summary["runs"].items():
        model, about = load_model(runs / "train" / f"{activation}.pkl")
        predicted = model.forward(flat(digits.x_test)).argmax(axis=1)
        assert result["test_acc"] == np.mean(predicted == digits.y_test)
        on_validation = model.forward(flat(digits.x_val)).argmax(axis=1)
        assert result["val_acc"] == about["val_acc"] == np.mean(on_validation == digits.y_val)
        assert result["best_epoch"] == about["epoch"]
        low, high = result["test_ci95"]
        assert low < result["test_acc"] < high
        assert result["over_seeds"]["test_acc"]["n"] == 2


def test_the_best_validation_epoch_is_kept(trained):
    runs, summary = trained
    rows = [line.split(",") for line in (runs / "train" / "metrics.csv").read_text().splitlines()]
    assert rows[0] == ["arm", "seed", "epoch", "train_loss", "train_acc", "val_loss", "val_acc"]
    assert len(rows) == 1 + 3 * 2 * 2  # activations, seeds, epochs
    for activation, result in summary["runs"].items():
        of_first = [row for row in rows[1:] if row[:2] == [activation, "0"]]
        ranks = [(float(row[6]), -float(row[5])) for row in of_first]  # ties: the lower loss
        assert result["val_acc"] == max(ranks)[0]
        assert ranks[result["best_epoch"] - 1] == max(ranks)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    trained, tmp_path, no_rendering
):
    runs, _ = trained
    train.main([*SMALL, "--seeds", "2", "--runs-dir", str(tmp_path / "same")])
    train.main([*SMALL, "--seed", "5", "--runs-dir", str(tmp_path / "other")])
    for name in ("metrics.csv", "relu.pkl", "tanh.pkl", "sigmoid.pkl"):
        content = (runs / "train" / name).read_bytes()
        assert (tmp_path / "same" / "train" / name).read_bytes() == content
        assert (tmp_path / "other" / "train" / name).read_bytes() != content


@pytest.mark.parametrize(
    ("flags", "lrs"),
    [
        ("", {"relu": 0.1, "tanh": 0.1, "sigmoid": 0.3}),
        ("--activations sigmoid relu sigmoid --lr 1 0.1", {"sigmoid": 1.0, "relu": 0.1}),
    ],
)
def test_each_network_learns_at_the_rate_that_was_asked_for(flags, lrs, tmp_path, no_rendering):
    train.main([*SMALL, "--epochs", "1", "--runs-dir", str(tmp_path), *flags.split()])
    data = load_image_data("digits", None, 300)
    for activation, lr in lrs.items():
        alone = MLP((784, 12, 10), activation, rng=stream(0, "init"))
        fit(alone, SGD(lr, 0.9, 5e-5), data, epochs=1, batch_size=128, seed=0)
        trained, _ = load_model(tmp_path / "train" / f"{activation}.pkl")
        for key, param in alone.params.items():
            np.testing.assert_allclose(trained.params[key], param, rtol=0, atol=1e-6)


def test_all_networks_see_the_same_batches(monkeypatch, tmp_path, no_rendering):
    seen = {}
    original = MLP.loss

    def loss(self, x, y):
        seen.setdefault(self.activation, []).append(np.array(y))
        return original(self, x, y)

    monkeypatch.setattr(MLP, "loss", loss)
    train.main([*SMALL, "--threads", "1", "--runs-dir", str(tmp_path)])
    for batches in zip(*seen.values(), strict=True):
        np.testing.assert_array_equal(batches[0], batches[1])
        np.testing.assert_array_equal(batches[0], batches[2])


def test_the_test_script_agrees_with_training(trained, tmp_path, capsys):
    runs, summary = trained
    tested = test.main(["--runs-dir", str(runs), "--no-show"])
    for activation, result in tested["runs"].items():
        assert result["test_acc"] == summary["runs"][activation]["test_acc"]
        confusion = np.array(result["confusion"])
        assert np.trace(confusion) / confusion.sum() == result["test_acc"]
        recall = np.diag(confusion) / confusion.sum(axis=1)
        np.testing.assert_allclose(result["recall"], recall)
    assert "95 % interval" in capsys.readouterr().out
    one = test.main(["--ckpt", str(runs / "train" / "tanh.pkl"), "--runs-dir", str(tmp_path)])
    assert one["runs"] == {"tanh": tested["runs"]["tanh"]}


def test_the_test_script_takes_the_first_images_where_a_number_is_given(trained, tmp_path):
    weights = trained[0] / "train" / "relu.pkl"
    arguments = ["--ckpt", str(weights), "--runs-dir", str(tmp_path), "--no-show"]
    first = test.main([*arguments, "--images", "50"])["runs"]["relu"]
    digits = load_image_data("digits", None)
    predicted = load_model(weights)[0].forward(flat(digits.x_test)[:50]).argmax(axis=1)
    assert np.sum(first["confusion"]) == 50
    assert first["test_acc"] == np.mean(predicted == digits.y_test[:50])
    assert parse_args(test.build_parser(), ["--quick"], test.QUICK).images == 1000


def test_images_of_ones_own_are_learned_and_tested_whatever_their_size_and_classes(tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 120), ("t10k", 30)):
        labels = np.arange(n, dtype=np.uint8) % 3
        images = rng.integers(0, 60, (n, 6, 5), dtype=np.uint8)
        images[np.arange(n), 2 * labels] += 150  # the row tells the class
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(encode_idx(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(encode_idx(labels + 4))
    runs = ["--runs-dir", str(tmp_path / "runs"), "--no-show", "--data-dir", str(tmp_path)]
    budget = ["--epochs", "3", "--batch-size", "8", "--hidden", "8", "--activations", "tanh"]
    summary = train.main([*runs, *budget, "--dataset", "idx"])
    assert summary["runs"]["tanh"]["test_acc"] > 0.9
    model, about = load_model(tmp_path / "runs" / "train" / "tanh.pkl")
    assert model.layer_sizes == (30, 8, 3)
    assert about["classes"] == ["4", "5", "6"] and about["image_size"] == [6, 5]
    tested = test.main(runs)["runs"]["tanh"]
    assert tested["test_acc"] == summary["runs"]["tanh"]["test_acc"]
    assert np.shape(tested["confusion"]) == (3, 3)


def test_testing_before_training_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"run train\.py first"):
        test.main(["--runs-dir", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_diverges_is_stopped_and_the_others_continue(tmp_path, capsys, monkeypatch):
    original = MLP.loss

    def loss(self, x, y):
        value = original(self, x, y)
        return float("nan") if self.activation == "relu" else value

    monkeypatch.setattr(MLP, "loss", loss)
    summary = train.main([*SMALL, "--runs-dir", str(tmp_path)])
    line = "relu, seed 0: the loss became nan in epoch 1: it is stopped; try a smaller --lr"
    assert line in capsys.readouterr().out
    assert list(summary["runs"]) == ["tanh", "sigmoid"]


def test_when_every_network_diverges_the_run_has_failed(tmp_path):
    with pytest.raises(UserError, match="every network diverged: try a smaller --lr"):
        train.main([*SMALL, "--lr", "1e30", "--runs-dir", str(tmp_path)])


@pytest.mark.parametrize(
    "bad",
    [
        *("--dataset cats", "--epochs 0", "--lr -1", "--lr 0.1 0.3", "--momentum 1"),
        *("--momentum -0.1", "--weight-decay nan", "--hidden 0", "--activations swish"),
        "--batch-size 0",
    ],
)
def test_bad_arguments_end_in_one_line_and_touch_nothing(bad, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        train.main([*bad.split(), "--runs-dir", str(tmp_path)])
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_mnist_that_cannot_be_had_touches_nothing(tmp_path, monkeypatch):
    def no_network(data_dir):
        raise DownloadError("no network")

    monkeypatch.setattr(mnist, "download", no_network)
    runs = tmp_path / "runs"
    arguments = ["--dataset", "mnist", "--data-dir", str(tmp_path), "--runs-dir", str(runs)]
    with pytest.raises(UserError, match="no network"):
        train.main(arguments)
    assert not runs.exists()


def test_the_fallback_is_named_in_output_config_and_figures(tmp_path, monkeypatch, capsys):
    def no_network(data_dir):
        raise DownloadError("no network")

    figures = []

    def render(fig):
        figures.append([text.get_text() for text in fig.findobj(Text)])
        return b""

    monkeypatch.setattr(plotting, "render", render)
    monkeypatch.setattr(mnist, "download", no_network)
    arguments = ["--data-dir", str(tmp_path), "--runs-dir", str(tmp_path / "runs"), "--no-show"]
    train.main([*arguments, "--epochs", "1", "--hidden", "4", "--activations", "relu"])
    assert "using scikit-learn's small digits instead ***" in capsys.readouterr().out
    config = json.loads((tmp_path / "runs" / "train" / "config.json").read_text())
    assert config["data"]["name"] == "digits" and "no network" in config["data"]["notice"]
    assert len(figures) == 5
    for texts in figures:
        assert any("digits, not MNIST" in text for text in texts), texts


def model_file(path, **changes):
    """Save a small valid model with some of the checkpoint's entries changed."""
    model = MLP([784, 3, 10], rng=np.random.default_rng(0))
    save_model(path, model, {"dataset": "digits"})
    with open(path, "rb") as file:
        content = pickle.load(file)
    save_checkpoint(path, content | changes)
    return content


def test_models_come_back_as_they_were(tmp_path):
    for dtype in (np.float32, np.float64):
        model = MLP([4, 3, 2], "tanh", "linear", rng=np.random.default_rng(0), dtype=dtype)
        save_model(tmp_path / "m.pkl", model, {"note": "x"})
        loaded, about = load_model(tmp_path / "m.pkl")
        assert about == {"note": "x"}
        x = np.random.default_rng(1).normal(size=(5, 4))
        np.testing.assert_array_equal(loaded.forward(x), model.forward(x))
        assert loaded.dtype == dtype


def test_checkpoints_of_another_shape_are_refused(tmp_path):
    path = tmp_path / "m.pkl"
    content = model_file(path)
    config, params = content["config"], content["params"]
    for changes in (
        {"config": config | {"layer_sizes": [784, 4, 10]}},
        {"config": config | {"layer_sizes": [10**9, 10**9]}},  # must not be allocated
        {"config": config | {"activation": "swish"}},
        {"config": config | {"dtype": "float99"}},
        {"config": 3},
        {"about": ["digits"]},
        {"params": params | {"b1": np.full(3, np.nan, np.float32)}},
        {"params": params | {"W3": params["W1"]}},
        {"params": {"W1": params["W1"]}},
        {"params": [1, 2]},
    ):
        model_file(path, **changes)
        with pytest.raises(UserError, match="does not hold an MLP of this section"):
            load_model(path)


def test_a_network_for_other_images_is_refused_by_the_test_script(tmp_path):
    save_model(tmp_path / "m.pkl", MLP([4, 2], rng=np.random.default_rng(0)), {"dataset": "digits"})
    with pytest.raises(UserError, match="does not tell 10 classes of 784 pixels apart"):
        test.main(["--ckpt", str(tmp_path / "m.pkl"), "--runs-dir", str(tmp_path)])
    for about in ({}, {"dataset": [1]}, {"dataset": "cats"}):
        model_file(tmp_path / "m.pkl", about=about)
        with pytest.raises(UserError, match="not a data set of digits"):
            test.main(["--ckpt", str(tmp_path / "m.pkl"), "--runs-dir", str(tmp_path)])


def test_a_runs_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="File exists"):
        train.main([*SMALL, "--runs-dir", str(tmp_path / "file")])
