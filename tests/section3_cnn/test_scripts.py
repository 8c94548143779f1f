import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from section3_cnn import (
    playground,
    pooling_comparison,
    quickstart,
    receptive_field,
    train_mnist_numpy,
    visualize_filters,
)
from section3_cnn.model import build_cnn
from section3_cnn.study.fields import effective_field, effective_side, receptive_fields
from section3_cnn.study.shifts import NETWORKS
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.errors import UserError
from shared_utils.seed import stream

matplotlib.use("Agg")

PNG = b"\x89PNG"


def arguments(tmp_path, *more):
    return [
        *("--dataset", "digits", "--limit", "200", "--no-show"),
        *("--runs-dir", str(tmp_path), *more),
    ]


def check_outputs(folder, names):
    assert {path.name for path in folder.iterdir()} == set(names) | {"config.json", "summary.json"}
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(PNG)
        assert path.stat().st_size < 150_000
    config = json.loads((folder / "config.json").read_text())
    assert config["data"]["name"] == "digits"
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    argv = arguments(folder, "--epochs", "4", "--batch-size", "20", "--seeds", "2")
    return folder / "mnist_numpy", train_mnist_numpy.main(argv)


def test_training_writes_everything_and_learns(trained):
    folder, returned = trained
    names = ["best.pkl", "curves_loss.png", "curves_acc.png", "metrics.csv"]
    summary = check_outputs(folder, names)
    run = summary["runs"]["small"]
    assert run["test_acc"] == returned["runs"]["small"]["test_acc"] > 0.8
    low, high = run["test_ci95"]
    assert low < run["test_acc"] < high
    assert run["over_seeds"]["test_acc"]["n"] == 2
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert rows[0] == "arm,seed,epoch,train_loss,train_acc,val_loss,val_acc"
    assert len(rows) == 1 + 2 * 4


def test_the_epoch_is_chosen_on_validation_and_its_weights_are_kept(trained):
    from section3_cnn.study.saved import load_model
    from section3_cnn.training import evaluate

    folder, returned = trained
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()[1:5]]
    best = max(rows, key=lambda row: (float(row[6]), -float(row[5])))
    assert returned["runs"]["small"]["best_epoch"] == int(best[2])
    model, about = load_model(folder / "best.pkl")
    assert about["epoch"] == int(best[2])
    data = load_image_data("digits", folder)
    val_loss, val_acc = evaluate(model, data.x_val, data.y_val)
    assert val_acc == float(best[6]) == about["val_acc"]
    assert val_loss == pytest.approx(float(best[5]), rel=1e-6)
    _, test_acc = evaluate(model, data.x_test, data.y_test)
    assert test_acc == returned["runs"]["small"]["test_acc"]


def test_equal_runs_write_equal_bytes(tmp_path, no_rendering):
    contents = []
    for name in ("a", "b"):
        argv = arguments(tmp_path / name, "--epochs", "1", "--augment", "--seed", "5")
        train_mnist_numpy.main(argv)
        folder = tmp_path / name / "mnist_numpy"
        contents.append([(folder / file).read_bytes() for file in ("best.pkl", "metrics.csv")])
    assert contents[0] == contents[1]


def test_the_deep_network_trains_from_the_command_line(tmp_path, no_rendering):
    argv = arguments(tmp_path, "--arch", "deep", "--pool", "avg", "--augment", "--epochs", "1")
    summary = train_mnist_numpy.main(argv)
    assert "deep" in summary["runs"]


def test_looking_inside(trained, tmp_path):
    ckpt = trained[0] / "best.pkl"
    argv = ["--dataset", "digits", "--no-show", "--runs-dir", str(tmp_path), "--ckpt", str(ckpt)]
    visualize_filters.main([*argv, "--digits", "3", "0", "3", "--test-images", "50"])
    names = ["filters_conv1.png", "filters_conv2.png", "patches_conv1.png", "patches_conv2.png"]
    summary = check_outputs(
        tmp_path / "vis", [*names, "features_3.png", "features_0.png", "saliency.png"]
    )
    assert len(summary["strongest"]["conv2"]) == 16


def test_receptive_fields(tmp_path, capsys):
    receptive_field.main(arguments(tmp_path, "--epochs", "1", "--images", "40", "--seeds", "2"))
    summary = check_outputs(
        tmp_path / "receptive_field", ["theoretical.png", "effective.png", "metrics.csv"]
    )
    assert summary["layers"]["pool2"]["size"] == [10, 10]
    assert all(
        layer["largest_gradient_outside_the_field"] == 0 for layer in summary["layers"].values()
    )
    side = summary["layers"]["pool2"]["effective_side"]
    assert side["after"]["n"] == 2
    images = load_image_data("digits", tmp_path).x_val[:40]
    untrained = [build_cnn(rng=stream(seed, "init")) for seed in (0, 1)]
    maps = [
        effective_field(net, receptive_fields(net, net.image_shape)[-1], images)
        for net in untrained
    ]
    assert side["before"]["mean"] == pytest.approx(np.mean([effective_side(m) for m in maps]))
    assert "conv2" in capsys.readouterr().out


def test_what_convolutions_and_pools_are_good_for(tmp_path):
    pooling_comparison.main(arguments(tmp_path, "--epochs", "1", "--seeds", "2"))
    folder = tmp_path / "pooling_compare"
    summary = check_outputs(folder, ["curves_acc.png", "shift_robustness.png", "metrics.csv"])
    assert list(summary["runs"]) == list(NETWORKS)
    assert summary["runs"]["mlp"]["parameters"] == 101_770
    for run in summary["runs"].values():
        assert run["test_acc_by_shift"]["0"]["mean"] == run["over_seeds"]["test_acc"]["mean"]
        assert run["test_acc_by_shift"]["4"]["mean"] < run["test_acc_by_shift"]["0"]["mean"]


def test_the_quickstart_learns_in_a_few_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(
        quickstart, "load_image_data", lambda _, path: load_image_data("digits", path)
    )
    assert quickstart.main(["--data-dir", str(tmp_path)])["test_acc"] > 0.85


SCRIPTS = [pooling_comparison, receptive_field, train_mnist_numpy]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
@pytest.mark.parametrize("wrong", [("--epochs", "0"), ("--lr", "-1"), ("--dataset", "letters")])
def test_bad_flags_end_with_status_two(script, wrong, capsys):
    with pytest.raises(SystemExit) as end:
        script.main(list(wrong))
    assert end.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_learning_rate_that_diverges_ends_in_one_line(script, tmp_path):
    argv = arguments(tmp_path, "--lr", "1e30", "--epochs", "1", "--seeds", "1")
    with pytest.raises(UserError, match="smaller --lr") as error:
        script.main(argv)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("script", [playground, visualize_filters])
def test_a_tilde_in_a_flag_is_the_home_folder(script):
    args = script.build_parser().parse_args(["--ckpt=~/best.pkl"])
    assert args.ckpt == Path.home() / "best.pkl"


def test_looking_inside_needs_a_checkpoint(tmp_path):
    with pytest.raises(UserError, match="train a network first"):
        visualize_filters.main(["--ckpt", str(tmp_path / "none.pkl"), "--runs-dir", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_momentum_of_one_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        train_mnist_numpy.main(["--momentum", "1"])
    assert end.value.code == 2
    assert "--momentum" in capsys.readouterr().err


def test_help_says_what_the_learning_rate_means(capsys):
    with pytest.raises(SystemExit):
        train_mnist_numpy.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "learning rate (default: 0.01, of the first step" in text
    assert "onecycle: from --lr up to 5 times --lr" in text
