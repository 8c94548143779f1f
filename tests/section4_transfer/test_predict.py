"""A trained network shown pictures: a fresh process gives each test image the class of the run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from section4_transfer import predict, resnet_vs_plain
from section4_transfer.augment import Pipeline
from section4_transfer.engine.weights import save_weights
from section4_transfer.models import resnet18
from section4_transfer.study import saved
from section4_transfer.study.base import Study
from section4_transfer.study.saved import describe_network
from shared_utils.datasets.decode import decode
from shared_utils.errors import UserError

CLASSES = {"broad": (1, 3), "square": (2, 2), "tall": (3, 1)}  # of a rectangle: rows, columns


def draw(kind: str, rng: np.random.Generator) -> Image.Image:
    """Return a rectangle on a dark ground, on 20x20 pixels: each kind has a colour of its own."""
    height, width = (4 * side for side in CLASSES[kind])
    pixels = rng.integers(0, 60, (20, 20, 3), np.uint8)
    top, left = rng.integers(0, 21 - height), rng.integers(0, 21 - width)
    color = rng.integers(80, 130, 3)
    color[list(CLASSES).index(kind)] = 250
    pixels[top : top + height, left : left + width] = color
    return Image.fromarray(pixels)


def save(image: Image.Image, path: Path, number: int) -> None:
    """Save the image in one of many kinds."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    kinds = [
        lambda: image.save(path.with_suffix(".png")),
        lambda: image.convert("L").save(path.with_suffix(".png")),
        lambda: image.convert("CMYK").save(path.with_suffix(".jpg"), quality=95),
        lambda: image.transpose(Image.Transpose.ROTATE_90).save(
            path.with_suffix(".jpg"), exif=exif, quality=95
        ),
        lambda: image.convert("RGBA").save(path.with_suffix(".webp"), lossless=True),
    ]
    kinds[number % len(kinds)]()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, dict]:
    """A folder with images and a run on them; what the run's networks say of its test images."""
    folder, rng = tmp_path_factory.mktemp("trained"), np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 5)):
        for kind in CLASSES:
            (folder / part / kind).mkdir(parents=True)
            for number in range(count):
                save(draw(kind, rng), folder / part / kind / f"{number:02}", number)
    said, report = {}, Study.report
    with pytest.MonkeyPatch.context() as patch:

        def listen(study: Study, groups: dict) -> dict:
            said.update({name: group[0].scores.argmax(1) for name, group in groups.items()})
            said["images"], said["classes"] = study.data.x_test.numpy(), study.data.classes
            return report(study, groups)

        patch.setattr(Study, "report", listen)
        options = f"--data-dir {folder} --runs-dir {folder / 'runs'} --size 16 --depth 8"
        options += " --quick --dataset folder --batch-size 15 --lr 0.05 --no-show"
        resnet_vs_plain.main(options.split())
    return folder, said


def test_a_fresh_process_gives_every_test_image_the_class_of_the_runs_evaluation(trained, tmp_path):
    folder, said = trained
    command = [sys.executable, predict.__file__, str(folder / "test"), "--json", "--arm", "plain-8"]
    done = subprocess.run(
        [*command, "--runs-dir", str(folder / "runs")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = {one["file"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert len(found) == 15
    weights = folder / "runs" / "resnet_vs_plain" / "plain-8.pt"
    assert {one["weights"] for one in found.values()} == {str(weights)}
    for file, answer in found.items():
        image = decode(Path(file), 16)
        (place,) = (n for n, x in enumerate(said["images"]) if np.array_equal(x, image))
        assert answer["label"] == said["classes"][said["plain-8"][place]], file
    assert {path.name for path in (folder / "runs" / "predict").iterdir()} == {
        "inputs.png",
        "predictions.jsonl",
    }


def test_the_best_network_of_the_last_run_is_the_default(trained):
    folder, _ = trained
    run = saved.last_run(folder / "runs")
    assert run == folder / "runs" / "resnet_vs_plain"
    accuracies = {}
    for path in run.glob("*-8.json"):
        accuracies[path] = json.loads(path.read_text())["val_acc"]
    assert len(accuracies) == 2
    assert accuracies[saved.choose_network(run, None)] == max(accuracies.values())
    assert saved.choose_network(run, "resnet-8").name == "resnet-8.json"
    with pytest.raises(UserError, match="called resnet-20: there are plain-8, resnet-8"):
        saved.choose_network(run, "resnet-20")


def test_without_a_network_the_command_that_trains_one_is_named(trained, tmp_path):
    with pytest.raises(UserError, match=r"resnet_vs_plain\.py"):
        predict.main([str(trained[0] / "test"), "--runs-dir", str(tmp_path)])
    with pytest.raises(UserError, match="holds no network"):
        predict.main([str(trained[0] / "test"), "--run", str(tmp_path)])


def test_a_damaged_picture_is_named_and_the_others_answered(trained, tmp_path, capsys):
    folder, _ = trained
    (tmp_path / "half.jpg").write_bytes(next((folder / "test").rglob("*.jpg")).read_bytes()[:200])
    draw("tall", np.random.default_rng(1)).save(tmp_path / "whole.png")
    options = ["--run", str(folder / "runs" / "resnet_vs_plain"), "--runs-dir", str(tmp_path / "r")]
    with pytest.raises(UserError, match="1 of 2"):
        predict.main([str(tmp_path), *options])
    out, err = capsys.readouterr()
    network = re.escape(str(folder / "runs" / "resnet_vs_plain"))
    assert re.match(rf"network: {network}.(plain|resnet)-8\.pt, trained on .+\n", out)
    assert "whole.png: " in out and "half.jpg" in err and "half.jpg" not in out


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["a", "b"]},
        {"classes": None},
        {"architecture": {"name": "cifar", "depth": 14, "residual": True}},
        {"architecture": {"name": "resnet18"}},
        {"architecture": "os.system"},
        {"mean": [0.0, 0.0]},
        {"std": [1.0, 0.0, 1.0]},
        {"mean": [0.0, "x", 0.0]},
        {"seen_size": 10**9},
        {"precision": "int3"},
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_its_weights_is_refused(trained, tmp_path, change):
    run = trained[0] / "runs" / "resnet_vs_plain"
    content = json.loads((run / "resnet-8.json").read_text())
    (tmp_path / "x.pt").write_bytes((run / "resnet-8.pt").read_bytes())
    (tmp_path / "x.json").write_text(json.dumps(content))
    saved.load_network(tmp_path / "x.json")
    (tmp_path / "x.json").write_text(json.dumps(content | change))
    with pytest.raises(UserError, match=r"x\.json does not"):
        saved.load_network(tmp_path / "x.json")


def test_nothing_is_built_that_is_larger_than_the_weights(trained, tmp_path, monkeypatch):
    run = trained[0] / "runs" / "resnet_vs_plain"
    content = json.loads((run / "resnet-8.json").read_text())
    content["architecture"]["depth"] = 6 * 10**9 + 2
    (tmp_path / "x.pt").write_bytes((run / "resnet-8.pt").read_bytes())
    (tmp_path / "x.json").write_text(json.dumps(content))
    built = []
    monkeypatch.setattr(saved, "CifarNet", lambda *args, **options: built.append(args))
    with pytest.raises(UserError, match="another architecture"):
        saved.load_network(tmp_path / "x.json")
    assert not built


def test_damaged_and_hostile_files_are_refused_and_run_nothing(trained, tmp_path, monkeypatch):
    run = trained[0] / "runs" / "resnet_vs_plain"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.json").write_bytes((run / "resnet-8.json").read_bytes())
    for content in (
        b"cos\nsystem\n(S'touch hacked'\ntR.",
        b"",
        (run / "resnet-8.pt").read_bytes()[:99],
    ):
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(UserError, match=r"x\.pt"):
            saved.load_network(tmp_path / "x.json")
    for text in ("[", "[]", "null"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(UserError, match=r"x\.json"):
            saved.load_network(tmp_path / "x.json")
    assert not (tmp_path / "hacked").exists()


def test_a_resnet18_is_described_with_the_size_that_it_sees(trained, tmp_path):
    run = trained[0] / "runs" / "resnet_vs_plain"
    model, mean, std = resnet18(3), torch.rand(3), torch.rand(3) + 0.1
    save_weights(tmp_path / "frozen.pt", model.state_dict())
    content = json.loads((run / "resnet-8.json").read_text())
    content |= describe_network(model, Pipeline(mean, std, size=40))
    (tmp_path / "frozen.json").write_text(json.dumps(content))
    loaded, pipeline, about, _ = saved.load_network(tmp_path / "frozen.json")
    assert about.classes == tuple(CLASSES) and about.image_size == (16, 16)
    x = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    seen, _ = pipeline(x, torch.zeros(2))
    assert seen.shape == (2, 3, 40, 40)
    assert torch.equal(seen, Pipeline(mean, std, size=40)(x, torch.zeros(2))[0])
    assert torch.equal(loaded(seen), model.eval()(seen))


def test_the_network_of_a_pretraining_is_not_the_default(tmp_path):
    for name, accuracy in {"rotation": 0.9, "frozen": 0.5, "scratch": 0.4}.items():
        (tmp_path / f"{name}.pt").touch()
        (tmp_path / f"{name}.json").write_text(json.dumps({"arm": name, "val_acc": accuracy}))
    (tmp_path / "summary.json").write_text("{}")  # no weights beside it
    assert saved.choose_network(tmp_path, None).stem == "frozen"
    assert saved.choose_network(tmp_path, "rotation").stem == "rotation"


def test_a_network_has_the_name_of_its_file_and_that_of_the_tables(tmp_path):
    for file, arm in {"best": "all but mixup", "other": "best"}.items():
        (tmp_path / f"{file}.pt").touch()
        (tmp_path / f"{file}.json").write_text(json.dumps({"arm": arm}))
    assert saved.choose_network(tmp_path, "best").stem == "best"  # the file's comes first
    assert saved.choose_network(tmp_path, "all but mixup").stem == "best"
    with pytest.raises(UserError, match="no network called none: there are best, other"):
        saved.choose_network(tmp_path, "none")
