import hashlib
import json
import os
import re
import signal
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn import functional as F

from section4_transfer import (
    augmentation_study,
    benchmark,
    pretrain,
    pretrained,
    quickstart,
    resnet_vs_plain,
    transfer_learning,
)
from section4_transfer.augment import Pipeline
from section4_transfer.engine import devices, runtime
from section4_transfer.engine.recipe import Recipe
from section4_transfer.engine.runtime import Runtime
from section4_transfer.engine.weights import file_state
from section4_transfer.models import CifarNet, initialise, resnet18
from section4_transfer.study import contenders, transfer
from section4_transfer.study.base import Study
from section4_transfer.study.saved import choose_network
from shared_utils.cli import start
from shared_utils.datasets import cifar10, color_images
from shared_utils.datasets.color_images import TorchData, generator, load_torch_data
from shared_utils.datasets.download import DownloadError
from shared_utils.errors import UserError
from shared_utils.runs import History
from tests.processes import CONTEXT, run
from tests.resume_helpers import count_steps
from tests.section4_transfer.helpers import CPU, half_a_resnet18

TINY = ["--dataset", "photo-digits", "--limit", "40", "--epochs", "1", "--batch-size", "20"]
TINY += ["--device", "cpu", "--no-show"]


def figures(folder):
    return {path.name for path in folder.glob("*.png")}


def test_resnet_vs_plain_writes_every_output(tmp_path, capsys):
    flags = ["--depth", "14", "8", "--runs-dir", str(tmp_path), *TINY]
    summary = resnet_vs_plain.main(flags)
    folder = tmp_path / "resnet_vs_plain"
    assert list(summary["runs"]) == ["resnet-8", "plain-8", "resnet-14", "plain-14"]
    assert json.loads((folder / "summary.json").read_text())["data"] == "photo-digits"
    assert len((folder / "metrics.csv").read_text().splitlines()) == 5
    assert (folder / "plain-14.pt").exists()
    assert len(figures(folder)) == 7
    assert max(path.stat().st_size for path in folder.glob("*.png")) < 150_000
    assert "resnet-14 minus plain-14" in capsys.readouterr().out


def test_transfer_learning_writes_every_output(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.models, "resnet18", half_a_resnet18)
    monkeypatch.setattr(transfer, "HEAD_STEPS", 20)
    flags = ["--weights", "rotation", "--pretrain-epochs", "1", "--resize", "32"]
    flags += ["--labels", "20", "--runs-dir", str(tmp_path), *TINY]
    summary = transfer_learning.main(flags)
    folder = tmp_path / "transfer_learning"
    assert list(summary["runs"]) == [f"{m} (20 labels)" for m in transfer.METHODS]
    assert summary["weights"] == "rotation"
    assert json.loads((folder / "config.json").read_text())["data"]["weights"] == "rotation"
    assert len(summary["conclusions"]) == 2 and len(figures(folder)) == 5
    assert {path.name for path in folder.glob("*.pt")} == {
        "rotation.pt", "scratch.pt", "frozen.pt", "fine-tuned.pt",
    }  # fmt: skip
    turns = json.loads((folder / "rotation.json").read_text())["classes"]
    assert turns == ["turned by 0 degrees", *(f"turned by {n} degrees" for n in (90, 180, 270))]
    frozen = json.loads((folder / "frozen.json").read_text())
    assert (frozen["arm"], frozen["seen_size"]) == ("frozen (20 labels)", 32)


def test_pretrained_weights_serve_another_task_with_their_own_normalization(tmp_path, monkeypatch):
    """A ResNet-18 of one block a stage, of two classes of large images, then of ten of small."""
    monkeypatch.setattr(torchvision.models, "resnet18", half_a_resnet18)
    monkeypatch.setattr(transfer, "HEAD_STEPS", 4)
    rng, images = np.random.default_rng(0), tmp_path / "images"
    for name, brightness in (("night", 40), ("noon", 200)):
        (images / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 40, (40, 40, 3)) + brightness
            Image.fromarray(pixels.astype(np.uint8)).save(images / name / f"{number}.png")
    runs = ["--runs-dir", str(tmp_path)]
    flags = ["--dataset", "folder", "--data-dir", str(images), *TINY[2:], "--size", "32"]
    summary = pretrain.main([*flags, "--resize", "40", "--batch-size", "8", *runs])
    assert list(summary["runs"]) == ["resnet18"]
    about = json.loads((tmp_path / "pretrain" / "resnet18.json").read_text())
    assert (about["classes"], about["image_size"]) == (["night", "noon"], [32, 32])
    assert about["seen_size"] == 40 and about["train_seconds"] > 0 and 0 <= about["val_acc"] <= 1

    lrs, fit = [], transfer.fit
    monkeypatch.setattr(
        transfer,
        "fit",
        lambda *args, **options: (
            lrs.extend(arg.lr for arg in args if isinstance(arg, Recipe)) or fit(*args, **options)
        ),
    )
    pipelines, fit_head = [], transfer.TransferStudy.fit_head
    monkeypatch.setattr(
        transfer.TransferStudy,
        "fit_head",
        lambda study, *args, **options: (
            pipelines.append(study.pipeline(study.weights)) or fit_head(study, *args, **options)
        ),
    )
    weights = tmp_path / "pretrain" / "resnet18.pt"
    flags = ["--weights", str(weights), "--resize", "32", "--labels", "40", "--freeze", "3"]
    flags += ["--lr", "0.1", "0.2", "0.3"]  # scratch, frozen, fine-tuned
    summary = transfer_learning.main([*flags, *runs, *TINY])
    assert lrs == [0.1, 0.2, 0.3, 0.3]
    assert list(summary["runs"])[-1] == "3 of 5 frozen (40 labels)"
    assert summary["pretrain_seconds"] == about["train_seconds"]
    assert pipelines[0].mean.flatten().tolist() == pytest.approx(about["mean"])
    folder = tmp_path / "transfer_learning"
    frozen, scratch = (
        json.loads((folder / f"{m}.json").read_text()) for m in ("frozen", "scratch")
    )
    assert frozen["mean"] == about["mean"] != scratch["mean"]
    assert "frozen_stages.png" in figures(folder)
    used = json.loads((folder / "config.json").read_text())["data"]
    assert used["weights"] == str(weights)
    assert used["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    kept, tuned = (file_state(path) for path in (weights, folder / "3-of-5-frozen.pt"))
    for key, value in kept.items():
        if not key.startswith(("layer3", "layer4", "fc")):
            assert torch.equal(tuned[key], value), key  # batch norm's statistics, too
    assert not torch.equal(tuned["layer3.0.conv1.weight"], kept["layer3.0.conv1.weight"])


def test_augmentation_study_writes_every_output(tmp_path):
    flags = ["--model", "resnet20", "--resize", "8", "--fractions", "0.5", "1"]
    summary = augmentation_study.main([*flags, "--runs-dir", str(tmp_path), *TINY])
    assert len(summary["runs"]) == 2 * 16 and len(summary["gains"]["0.5"]) == 7
    assert set(summary["gains"]["1"]["crop"]) == {"alone", "leave-one-out"}
    assert len(figures(tmp_path / "augmentation")) == 6
    best = max(result["val_acc"] for result in summary["runs"].values())
    (kept,) = (tmp_path / "augmentation").glob("*.pt")  # the best of all 32
    about = json.loads(kept.with_suffix(".json").read_text())
    assert about["val_acc"] == best == summary["runs"][about["arm"]]["val_acc"]
    assert choose_network(tmp_path / "augmentation", None) == kept.with_suffix(".json")


def test_sets_that_share_no_pair_are_trained_without_a_figure_of_gains(tmp_path):
    flags = ["--model", "resnet20", "--resize", "8", "--only", "mixup"]
    summary = augmentation_study.main([*flags, "--runs-dir", str(tmp_path), *TINY])
    assert list(summary["runs"]) == ["mixup"] and summary["conclusions"] == []
    assert "gains.png" not in figures(tmp_path / "augmentation")


def test_the_frozen_head_sees_the_features_of_the_images_with_a_label(monkeypatch):
    data, recipe = load_torch_data("photo-digits", "unused", limit=60), Recipe(1, 20, 0.1)
    made, shown = [], []

    def means(model, images, pipeline, runtime):
        made.append(len(images))
        return images.double().mean((2, 3))

    def fit(model, train, val, *args, **options):
        shown.append((train, val))
        return History(series={"seconds": [1.0]}, seconds=1.0)

    monkeypatch.setattr(transfer, "extract_features", means)
    monkeypatch.setattr(transfer, "fit", fit)
    study = transfer.TransferStudy(
        *(data, CPU, recipe, range(1), None),
        size=32,
        labels=[20, 40],
        lrs={},
        weights=None,
        pretraining=recipe,
        small_validation=True,
    )
    features = study.frozen_features(None, seed=3)
    assert 40 <= made[0] < 60 and 40 <= made[1] < len(data.y_val)  # each once, no others
    for n in study.labels:
        study.fit_head(resnet18(10), features, n, recipe, seed=3)
        for part, chosen, (values, labels) in zip(
            ("train", "val"), study.labelled(n, 3), shown.pop(), strict=True
        ):
            images, expected = data.part(part, chosen)
            assert len(labels) == n and torch.equal(labels, expected)
            assert torch.equal(values, images.double().mean((2, 3)))


def test_the_frozen_head_is_trained_to_the_end_of_its_convex_problem():
    """The optimum is L-BFGS's, in float64, of the same loss with the same weight decay."""
    data = load_torch_data("photo-digits", "unused", limit=60)
    draws = torch.Generator().manual_seed(0)
    train, val = (torch.rand(len(y), 512, generator=draws) for y in (data.y_train, data.y_val))
    recipe = Recipe(1, 60, transfer_learning.LEARNING_RATES["frozen"])
    model = resnet18(10)
    study = transfer.TransferStudy(
        *(data, CPU, recipe, range(1), None),
        size=32,
        labels=[60],
        lrs={},
        weights=None,
        pretraining=recipe,
    )
    features = {
        part: transfer.Features(torch.arange(len(values)), values, 3.0)
        for part, values in (("train", train), ("val", val))
    }
    history = study.fit_head(model, features, 60, recipe, seed=0)
    assert history.seconds == history.series["seconds"][-1] > 3  # with the features' time

    head = nn.Linear(512, 10).double()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def loss(head):
        pull = head.weight.double().square().sum()  # biases are not decayed
        logits = head(train.to(head.weight.dtype))
        return F.cross_entropy(logits, data.y_train) + recipe.weight_decay / 2 * pull

    def closure():
        optimizer.zero_grad()
        value = loss(head)
        value.backward()
        return value

    optimizer.step(closure)
    assert len(history.rows) == 1
    assert loss(model.fc).item() == pytest.approx(loss(head).item(), rel=0.05)


@pytest.mark.parametrize(
    "script", [resnet_vs_plain, transfer_learning, augmentation_study, pretrain]
)
def test_a_quick_run_is_small_on_any_data(script, monkeypatch):
    class Loaded(Exception):
        pass

    def load(dataset, data_dir, limit, size, limit_all, skip_damaged):
        raise Loaded(limit, limit_all)

    monkeypatch.setattr(color_images, "load_torch_data", load)
    monkeypatch.setattr(pretrained, "load_pretrained", lambda weights: (None, ""))
    for flags, all_parts in ((["--quick"], True), (["--limit", "900"], False)):
        with pytest.raises(Loaded) as loaded:
            script.main([*flags, "--dataset", "photo-digits"])
        assert loaded.value.args[0] <= 1300 and loaded.value.args[1] == all_parts


def test_a_fraction_that_cannot_be_had_is_refused_before_anything_trains(tmp_path, monkeypatch):
    def refuse(data, fraction):
        raise UserError("too few to be split")

    monkeypatch.setattr(TorchData, "fraction", refuse)
    flags = ["--quick", "--no-show", "--device", "cpu", "--runs-dir", str(tmp_path)]
    monkeypatch.setattr(Study, "run", None)  # to call it would fail
    with pytest.raises(UserError, match="too few to be split"):
        augmentation_study.main(flags)
    with pytest.raises(UserError, match="--labels must be at least 10, one for each class"):
        transfer_learning.main([*flags, "--labels", "100", "9"])


def test_the_benchmark_measures_one_process_and_says_what_it_cannot(tmp_path, monkeypatch, capsys):
    def no_compiler(model):
        def fail(x):
            raise RuntimeError("no compiler\nin this place")

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr(contenders, "EVALUATION_BATCHES", (20, 40))
    monkeypatch.setattr(devices, "choose_precision", lambda *args: "fp32")
    flags = ["--rounds", "1", "--steps", "2", "--batch-size", "8", "--no-show", "--device", "cpu"]
    flags += ["--precision", "fp32", "--runs-dir", str(tmp_path)]
    found = benchmark.main([*flags, "--measure", *benchmark.GROUPS])["images_per_second"]
    assert {group: list(speeds) for group, speeds in found.items()} == {
        "layout": ["bare, fp32, contiguous", "bare, fp32, channels last", "lesson, fp32"],
        "optimizer": [f"optimizer: {n}" for n in ("a loop over weights", "foreach", "fused")],
        "compile": ["not compiled"],
        "evaluation": ["evaluation in batches of 20", "evaluation in batches of 40"],
    }
    said = capsys.readouterr().out
    assert "bf16 is not measured: this device has no units for it" in said
    assert "torch.compile cannot be used on this machine: no compiler\n" in said

    monkeypatch.setattr(torch, "compile", lambda model: model)
    found = benchmark.main([*flags, "--measure", "compile"])["images_per_second"]
    assert list(found["compile"]) == ["not compiled", "torch.compile"]
    assert re.search(r"torch\.compile: first step after \d+ s\n", capsys.readouterr().out)

    two = Runtime(torch.device("cpu"), "fp32", 0, 2)
    monkeypatch.setattr(runtime, "init_runtime", lambda *args: nullcontext(two))
    with pytest.raises(UserError, match="not with torchrun"):
        benchmark.main(flags)


def test_the_contenders_of_the_benchmark_take_the_same_steps():
    """The first step, in which a cosine's learning rate is at its peak, as the bare loops' is."""
    data = load_torch_data("photo-digits", "unused", limit=32)
    recipe = Recipe(10, 16, 0.1, weight_decay=0.01, schedule="cosine", nesterov=False)
    made = []

    class Noted(contenders.Workload):
        def network(self):
            made.append(super().network())
            return made[-1]

    work = Noted(data.x_train, data.y_train, 10, Pipeline(*data.statistics()), recipe, CPU, 7)
    found = {}
    for group in (contenders.layouts(work, False), contenders.optimizers(work)):
        found |= group[0]
    assert [step() for step in found.values()] == [16] * 6
    expected = dict(made[0].named_parameters())
    initial = dict(initialise(CifarNet(20), generator(7, "init")).named_parameters())
    for model in made[1:]:
        for name, value in model.named_parameters():
            update = expected[name] - initial[name]
            assert (value - expected[name]).norm() < 0.02 * update.norm(), name


def test_the_quickstart_learns(tmp_path, monkeypatch):
    """Offline: 1,293 photo-digits, here of half the side; chance gets 10 % of them."""

    def no_network(data_dir):
        raise DownloadError("no route")

    def half_size(*args, **options):
        data = load_torch_data(*args, **options)
        images = {name: getattr(data, name)[..., ::2, ::2] for name in ("x_train", "x_test")}
        return replace(data, **images)

    monkeypatch.setattr(cifar10, "download", no_network)
    monkeypatch.setattr(color_images, "load_torch_data", half_size)
    assert quickstart.main(["--data-dir", str(tmp_path)])["test_acc"] > 0.8


@pytest.mark.parametrize(
    ("script", "flags", "words"),
    [
        (resnet_vs_plain, ["--depth", "21"], "6n + 2"),
        (transfer_learning, ["--freeze", "6"], "invalid choice"),
        (augmentation_study, ["--fractions", "0"], "above 0"),
        (augmentation_study, ["--only", "blur"], "'blur' is not one of 'none', 'crop'"),
    ],
)
def test_bad_flags_end_with_one_line_and_status_2(script, flags, words, capsys):
    with pytest.raises(SystemExit) as caught:
        script.main(flags)
    assert caught.value.code == 2 and words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "flags", "least"),
    [
        (resnet_vs_plain, ["--size", "3"], 4),
        (pretrain, ["--resize", "31"], 32),
        (transfer_learning, ["--resize", "31"], 32),
        (augmentation_study, ["--resize", "31"], 32),
    ],
)
def test_images_too_small_for_the_network_are_refused_at_once(script, flags, least):
    with pytest.raises(UserError, match=f"network: {flags[0]} must be at least {least}"):
        script.main([*flags, "--data-dir", "/nowhere"])


def test_what_a_user_can_fix_is_one_line_and_status_2(tmp_path, capsys):
    (tmp_path / "a").mkdir()
    with pytest.raises(SystemExit) as ended:
        start(lambda: resnet_vs_plain.main(["--dataset", "folder", "--data-dir", str(tmp_path)]))
    errors = capsys.readouterr().err
    assert ended.value.code == 2 and "fewer than two class folders" in errors
    assert len(errors.strip().splitlines()) == 1


def tell_when_begun(begun, argv):
    """The script as it is started from a shell; `begun` is set after the first step of epoch 2."""
    count_steps(3, begun.set)
    start(lambda: resnet_vs_plain.main(argv))


def test_ctrl_c_leaves_whole_files_and_status_130(tmp_path):
    flags = ["--depth", "8", "--runs-dir", str(tmp_path), *TINY, "--epochs", "1000"]
    begun = CONTEXT.Event()
    with run(tell_when_begun, begun, flags, output=tmp_path / "output") as process:
        assert begun.wait(120)
        os.kill(process.pid, signal.SIGINT)
        process.join(120)
        assert process.exitcode == 130
    output = (tmp_path / "output").read_text()
    assert "epoch 1/1000" in output and "Traceback" not in output
    names = {path.name for path in (tmp_path / "resnet_vs_plain").iterdir()}
    assert names == {"config.json", "metrics.csv", "last.pt"}  # to go on, and no temporary file
    rows = (tmp_path / "resnet_vs_plain" / "metrics.csv").read_text()
    assert rows.endswith("\n") and rows.count("resnet-8,0,1,") == 1
