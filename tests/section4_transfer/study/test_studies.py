"""What the studies report, on made-up outcomes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from section4_transfer.engine.recipe import Recipe
from section4_transfer.study import augmentation_plots, base, class_plots, depth_plots
from section4_transfer.study.augmentation import (
    AugmentationStudy,
    augmentation_sets,
    choose_sets,
)
from section4_transfer.study.classes import class_report, confusion_matrix
from section4_transfer.study.depth import DepthStudy
from section4_transfer.study.transfer import TransferStudy
from section4_transfer.study.variants import Variant, label
from section4_transfer.study.verdicts import by_augmentation, compare_augmentations, find_gains
from shared_utils.datasets.color_images import generator, load_torch_data
from shared_utils.errors import UserError
from shared_utils.runs import History
from shared_utils.runs.outcomes import Outcome, accuracy_difference
from tests.section4_transfer.helpers import CPU


def outcome(name, seed, answers, labels, val_acc=0.5, train_acc=0.5):
    """A network that gives these answers to two or more classes."""
    row = {"epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "val_acc": val_acc}
    row["train_acc"] = train_acc
    series = {"first_gradient_norms": [6.0, 3.0, 9.0], "gradient_norms": [[1.0, 2.0, 9.0]]}
    series["seconds"] = [2.0]
    made = Outcome(name, seed, nn.Identity(), History([row], series, 1, 2.0, 100))
    labels = np.asarray(labels)
    made.test(np.eye(max(2, labels.max() + 1))[np.asarray(answers)], labels)
    return made


def data_of(train, test, classes=("cat", "dog")):
    return SimpleNamespace(
        y_train=torch.tensor(train), y_test=torch.tensor(test), classes=classes, title="pets"
    )


def test_the_augmentation_study_widens_every_interval_that_it_reports():
    rng = np.random.default_rng(0)
    groups = {
        label(name, fraction): [outcome(name, 0, rng.integers(0, 2, 90), np.zeros(90, int))]
        for name in augmentation_sets()
        for fraction in (0.1, 1)
    }
    lines = compare_augmentations(groups, augmentation_sets(), [0.1, 1])
    assert len(lines) == 30
    assert all("(30 comparisons together)" in line for line in lines)
    gain = accuracy_difference(groups["crop 10%"], groups["none 10%"], 30)
    assert gain.sentence("test accuracy, crop 10% minus none 10%") in lines
    found = by_augmentation(find_gains(groups, augmentation_sets(), [0.1, 1]), [0.1, 1])
    assert found["0.1"]["crop"]["alone"] == (gain.mean, gain.low, gain.high)
    left_out = accuracy_difference(groups["all"], groups["all but flip"], 30)
    assert found["1"]["flip"]["leave-one-out"] == (left_out.mean, left_out.low, left_out.high)


def test_a_network_that_diverged_is_left_out_of_the_gains():
    groups = {name: [outcome(name, 0, [0, 1], [0, 1])] for name in ("none", "all", "crop")}
    gains = by_augmentation(find_gains(groups, augmentation_sets(), [1]), [1])
    assert list(gains["1"]["crop"]) == ["alone"] and gains["1"]["flip"] == {}
    lines = compare_augmentations(groups, augmentation_sets(), [1])
    assert len(lines) == 2 and all("(15 comparisons together)" in line for line in lines)


def test_only_the_chosen_sets_are_compared():
    sets = choose_sets(["all but mixup", "none", "all"])
    assert list(sets) == ["none", "all", "all but mixup"] and "mixup" not in sets["all but mixup"]
    groups = {name: [outcome(name, 0, [0, 1], [0, 1])] for name in sets}
    lines = compare_augmentations(groups, sets, [1])
    assert len(lines) == 2 and all("(2 comparisons together)" in line for line in lines)
    assert lines[1].startswith("test accuracy, all minus all but mixup")


def test_unequal_classes_are_reported_beside_the_accuracy():
    labels = [0] * 285 + [1] * 15
    lazy = outcome("lazy", 0, [0] * 300, labels, val_acc=0.9)
    fair = outcome("fair", 0, [0] * 270 + [1] * 15 + [0] * 3 + [1] * 12, labels, val_acc=0.6)
    content, lines = class_report({"lazy": [lazy], "fair": [fair]}, data_of(labels, labels))
    assert content["largest_class"] == {"name": "cat", "test_acc": pytest.approx(0.95)}
    assert content["balanced_acc"]["lazy"] == pytest.approx(0.5)
    assert content["balanced_acc"]["fair"] == pytest.approx((270 / 285 + 12 / 15) / 2)
    assert "always answering cat is right for 95.00%" in lines[0]
    assert lines[2] == "lazy, class by class:"  # the best in validation
    assert lines[4].split() == ["cat", "285", "100.00%", "300"]
    assert lines[5].split() == ["dog", "15", "0.00%", "0"]


def test_equal_classes_need_no_such_report():
    even = data_of([0, 0, 0, 1, 1], [0, 1])
    assert class_report({"a": [outcome("a", 0, [0, 1], [0, 1])]}, even) == ({}, [])
    absent = data_of([0, 0, 0, 1, 2], [0, 1], ("cat", "dog", "owl"))  # no owl in the test
    content, lines = class_report({"a": [outcome("a", 0, [0, 0], [0, 1])]}, absent)
    assert content["balanced_acc"]["a"] == 0.5 and "nan%" in lines[-1]


def test_the_confusion_matrix_counts_answers_by_class(tmp_path):
    labels = np.array([0, 0, 1, 1, 2])
    made = outcome("a", 0, [0, 1, 1, 1, 0], labels)
    assert confusion_matrix(made, labels, 3).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    for classes in (3, 50):
        many = data_of(labels.tolist(), labels.tolist(), tuple(map(str, range(classes))))
        if classes == 50:
            made.scores = np.zeros((5, 50))
        class_plots.confusion(tmp_path / f"{classes}.png", {"a": [made]}, many)
        assert (tmp_path / f"{classes}.png").exists()


class OneVariant(DepthStudy):
    """One network, whose training does what it is given."""

    def variants(self):
        yield Variant("net", 0, nn.Identity(), None, self.depths[0], work=2.0)


def study(train, runtime=CPU, **options):
    return OneVariant(None, runtime, Recipe(1, 8, 0.1), range(3), None, depths=[train], **options)


@pytest.mark.parametrize("rank", [0, 1])
def test_when_every_network_diverges_one_line_says_so_in_the_main_process(rank, capsys):
    def diverge(run):
        raise FloatingPointError("epoch 1: the loss is no longer finite")

    with pytest.raises(UserError, match="every network diverged: try a smaller --lr"):
        study(diverge, replace(CPU, rank=rank)).run(no_show=True)
    said = "net, seed 0: epoch 1: the loss is no longer finite" in capsys.readouterr().out
    assert said == (rank == 0)


def test_the_first_seeds_weights_alone_are_saved(monkeypatch, tmp_path):
    saved = []
    monkeypatch.setattr(base, "save_weights", lambda path, state: saved.append(path))
    for name in ("describe_weights", "describe_network"):
        monkeypatch.setattr(base, name, lambda *args: {})
    made = study(None)
    made.folder = SimpleNamespace(path=tmp_path, write_json=lambda name, content: None)
    for seed in (2, 1, 0):
        made.save(f"net{seed}", outcome("net", seed, [0, 1], [0, 1]), None)
    assert saved == [tmp_path / "net0.pt"]
    made.folder = None  # in a process beside the main one
    made.save("net0", outcome("net", 0, [0, 1], [0, 1]), None)
    assert len(saved) == 1


def test_the_time_of_a_long_study_is_told_once_and_in_proportion(capsys):
    made = study(None)
    made.depths = [8, 20]  # 2 networks each, 3 seeds: 168 units of work
    first = made.training_run("net", 0, 1, work=8)
    later = made.training_run("other", 0, 1, work=8)
    assert later._on_estimate is None
    first._on_estimate(600 * 8 / 168)
    assert capsys.readouterr().out == ""
    first._on_estimate(1200 * 8 / 168)
    assert (
        "about 20 minutes; shorter: fewer --epochs, a smaller --limit, --quick"
        in capsys.readouterr().out
    )


def test_other_programs_that_stay_on_the_cores_are_told_of_once(monkeypatch, capsys):
    answers = iter([True, False, True, True])
    monkeypatch.setattr(base, "crowded", lambda: next(answers))
    run = study(None).training_run("net", 0, 1, work=1)
    row = {"arm": "net", "seed": 0, **outcome("net", 0, [0], [0]).history.rows[0]}
    for told in (0, 0, 0, 1, 0):
        run._show(row)
        said = capsys.readouterr().out
        assert said.count("--resume --threads 1") == told and "net, seed 0, epoch 1/1" in said


def test_the_work_of_the_transfer_study_is_counted_in_passes():
    recipe, options = (
        Recipe(5, 64, 0.1),
        {"size": 32, "lrs": {}, "pretraining": Recipe(10, 64, 0.1)},
    )
    data = SimpleNamespace(y_train=torch.zeros(500))
    for weights, expected in ((None, 2 * (3 * 2 * 5 + 10)), ("some", 2 * 3 * 2 * 5)):
        made = TransferStudy(
            *(data, CPU, recipe, range(2), None),
            labels=[50, 500],
            weights=weights,
            freeze=[3],
            **options,
        )
        assert made.total_work == pytest.approx(expected)


def test_the_recipes_crop_reaches_the_networks_of_every_study():
    """Of white images shifted by up to a quarter of 32 pixels, at most 8 rows are black."""
    data, recipe = (
        load_torch_data("photo-digits", "unused", limit=20),
        Recipe(1, 8, 0.1, crop=1 / 4),
    )
    options = {"model": "resnet20", "size": 32, "fractions": {1.0: torch.arange(20)}, "sets": {}}
    depths = DepthStudy(data, CPU, recipe, range(1), None, depths=[8])
    augmented = AugmentationStudy(data, CPU, recipe, range(1), None, **options)
    for variant in (next(depths.variants()), augmented.variant("crop", ["crop"], 1.0, 0)):
        (shift,) = variant.pipeline.augmentations
        x, _ = shift(torch.ones(99, 3, 32, 32), None, generator(0, "white"))
        assert (x[:, 0].amax(2) == 0).sum(1).max() == 8


def test_degradation_is_a_difference_in_training_error_paired_by_seeds():
    """Of 5, 7 and 9 points, Student: 7 +- t(1 - 0.025 / 6, 2) 2 / sqrt(3)."""
    errors = {
        "plain-20": [20, 21, 22],
        "plain-56": [25, 28, 31],
        "resnet-20": [9],
        "resnet-56": [8],
    }
    groups = {
        name: [outcome(name, seed, [0], [0], train_acc=1 - e / 100) for seed, e in enumerate(found)]
        for name, found in errors.items()
    }
    groups["plain-56"].reverse()  # pairs are found by their seeds
    lines = DepthStudy(None, CPU, None, range(3), None, depths=[20, 56]).conclusions(groups)
    half = 100 * 10.88602 * 0.02 / 3**0.5
    line = next(line for line in lines if "plain-56 minus plain-20" in line and "training" in line)
    assert f"+7.00 points, 95 % interval {7 - half:+.2f} to {7 + half:+.2f}" in line
    assert "(6 comparisons together)" in line and "over 3 seeds" in line
    line = next(line for line in lines if "resnet-56 minus resnet-20" in line and "train" in line)
    assert "-1.00 points; one seed has no spread to judge by" in line
    one_seed = DepthStudy(None, CPU, None, range(1), None, depths=[20, 56])
    first = {name: [o for o in found if o.seed == 0] for name, found in groups.items()}
    line = one_seed.conclusions(first)[0]
    assert "(4 comparisons together)" in line  # a training error of one seed has no interval
    assert sum("test accuracy" in line for line in lines) == 4 and len(lines) == 10
    assert lines[-1].endswith(
        "resnet-56: 6 before the first step (2 times that at the last convolution),"
        " 1 in epoch 1 (0.5 times that at the last convolution)"
    )


def test_one_kind_alone_is_trained_and_compared_with_itself(tmp_path):
    recipe, data = Recipe(1, 8, 0.1), load_torch_data("photo-digits", "unused", limit=20)
    made = DepthStudy(data, CPU, recipe, range(2), None, depths=[8, 14], kinds=["plain"])
    names = [variant.name for variant in made.variants()]
    assert names == ["plain-8", "plain-8", "plain-14", "plain-14"] and made.total_work == 44
    groups = {name: [outcome(name, seed, [0], [0]) for seed in range(2)] for name in names}
    lines = made.conclusions(groups)
    assert [line.split(":")[0] for line in lines[:2]] == [
        "test accuracy, plain-14 minus plain-8",
        "training error in the last epoch, plain-14 minus plain-8",
    ]
    assert all("(2 comparisons together)" in line for line in lines[:2]) and len(lines) == 4
    depth_plots.draw_all(tmp_path, groups, [8, 14], "nothing")


def test_the_error_is_drawn_for_the_kinds_that_were_trained(monkeypatch):
    figures = []
    monkeypatch.setattr(depth_plots, "save_figure", lambda fig, path: figures.append(fig))
    groups = {
        "plain-8": [outcome("plain-8", 0, [0, 0], [0, 1], train_acc=0.75)],
        "plain-14": [outcome("plain-14", 0, [0, 1], [0, 1], train_acc=0.5)],
    }
    depth_plots.error_against_depth(None, groups, [8, 14], "nothing")
    train, test = figures[0].axes
    assert [line.get_label() for line in train.lines] == ["plain"]
    assert train.lines[0].get_xydata().tolist() == [[8, 25], [14, 50]]
    assert test.lines[0].get_xydata().tolist() == [[8, 50], [14, 0]]


def test_no_two_sets_of_augmentations_are_drawn_in_one_colour(monkeypatch):
    figures = []
    monkeypatch.setattr(augmentation_plots, "save_figure", lambda fig, path: figures.append(fig))
    names = [name for name in augmentation_sets() if not name.startswith("all but")]
    groups = {name: [outcome(name, 0, [0, 1], [0, 1])] for name in names}
    augmentation_plots.curves(None, groups, "nothing")
    for ax in figures[0].axes:
        assert len({line.get_color() for line in ax.lines}) == len(names) == 9


def test_many_depths_are_drawn_and_the_deepest_may_have_diverged(tmp_path):
    depths = list(range(8, 75, 6))  # more than there are colours
    names = [f"{kind}-{depth}" for depth in depths[:-1] for kind in ("resnet", "plain")]
    groups = {name: [outcome(name, 0, [0, 0], [0, 1])] for name in names}
    depth_plots.draw_all(tmp_path, groups, depths, "nothing")
    assert len(list(tmp_path.glob("*.png"))) == 6
