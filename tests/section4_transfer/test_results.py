import numpy as np
import pytest
import torch
from torch import nn

from section4_transfer import augmentation_study, plots_depth, pretrained
from section4_transfer.augmentation_gains import (
    conclude,
    find_gains,
    label,
    number_of_comparisons,
)
from section4_transfer.engine import Fit
from section4_transfer.models import CifarNet, initialise, resnet18
from section4_transfer.pretrained import Start, file_state, find_start, load_backbone
from section4_transfer.results import (
    Outcome,
    by_arm,
    describe_arm,
    estimate_line,
    gain,
    gain_line,
    save_weights,
    table,
)
from shared_utils.datasets.download import DownloadError
from shared_utils.errors import UserError
from tests.section4_transfer.helpers import TinyNet


def outcome(arm, seed, correct):
    fitted = Fit(["conv"], [{"val_acc": 0.5}], [[1.0]], [2.0], 100.0, 1)
    return Outcome(arm, seed, nn.Identity(), fitted, np.array(correct, bool))


def test_a_paired_gain_has_the_interval_of_agresti_and_min():
    ours, theirs = np.zeros(100, bool), np.zeros(100, bool)
    ours[:60], theirs[10:50] = True, True  # 20 right for ours alone, none for theirs alone
    difference, low, high = gain([outcome("a", 0, ours)], [outcome("b", 0, theirs)])
    assert difference == pytest.approx(0.2)
    middle = 20 / 102
    half = 1.959964 * np.sqrt((21 - 20**2 / 102) / 102**2)
    assert (low, high) == pytest.approx((middle - half, middle + half))
    line = gain_line("a", "b", [outcome("a", 0, ours)], [outcome("b", 0, theirs)])
    assert "+20.00 points" in line and ": a difference (of these two networks, one seed)" in line
    assert "chance" in gain_line("a", "b", [outcome("a", 0, ours)], [outcome("b", 0, ours)])


def test_many_comparisons_widen_each_interval_until_all_hold_together():
    from scipy.stats import norm, t

    rng = np.random.default_rng(0)
    ours, theirs = (
        [outcome(arm, seed, rng.random(50) < share) for seed in range(3)]
        for arm, share in (("a", 0.7), ("b", 0.5))
    )
    for seeds, quantile in ((1, norm.ppf), (3, lambda p: t.ppf(p, 2))):
        _, low, high = gain(ours[:seeds], theirs[:seeds])
        _, low_15, high_15 = gain(ours[:seeds], theirs[:seeds], 15)
        widened = quantile(1 - 0.05 / 15 / 2) / quantile(0.975)
        assert (high_15 - low_15) / (high - low) == pytest.approx(widened, rel=1e-6)
        assert high_15 + low_15 == pytest.approx(high + low)


def test_the_augmentation_study_widens_every_interval_that_it_reports():
    rng = np.random.default_rng(0)
    grouped = {
        label(arm, fraction): [outcome(arm, 0, rng.random(90) < 0.5)]
        for arm in augmentation_study.arms()
        for fraction in (0.1, 1)
    }
    lines = conclude(grouped, [0.1, 1])
    assert len(lines) - 1 == number_of_comparisons([0.1, 1]) == 30 and "all 30" in lines[0]
    arms = grouped["crop 10%"], grouped["none 10%"]
    assert gain_line("crop 10%", "none 10%", *arms, 30) in lines
    assert find_gains(grouped, [0.1, 1])["0.1"]["crop"]["alone"] == gain(*arms, 30)


def test_over_seeds_the_interval_is_students_and_only_shared_seeds_count():
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    ours = [outcome("a", seed, rng.random(50) < 0.7) for seed in range(4)]
    theirs = [outcome("b", seed, rng.random(50) < 0.5) for seed in (1, 2, 3, 9)]
    differences = [ours[s].correct.mean() - theirs[s - 1].correct.mean() for s in (1, 2, 3)]
    interval = ttest_1samp(differences, 0).confidence_interval(0.95)
    expected = np.mean(differences), interval.low, interval.high
    assert gain(ours, theirs) == pytest.approx(expected)
    assert np.isnan(gain(ours[:1], theirs)).all()
    assert "no seed" in gain_line("a", "b", ours[:1], theirs)


def test_arms_are_described_by_counts_and_seeds():
    outcomes = [outcome("a", 0, [1, 1, 1, 0]), outcome("b", 0, [0] * 4), outcome("a", 1, [1] * 4)]
    arms = by_arm(outcomes)
    described = describe_arm(arms["a"])
    assert list(arms) == ["a", "b"] and described["test_acc"] == 0.75
    assert described["over_seeds"]["test_acc"]["mean"] == pytest.approx(0.875)
    assert described["test_ci95"] == pytest.approx((0.3006, 0.9544), abs=1e-4)  # Wilson
    assert "75.00%" in table({"a": described})


def test_only_long_runs_are_announced_with_what_shortens_them():
    assert estimate_line(600, "--quick") == ""
    line = estimate_line(1200, "--quick")
    assert "20 minutes" in line and "--quick" in line


def test_saved_weights_come_back_and_replace_all_but_the_head(tmp_path):
    source, target = resnet18(4), resnet18(7)
    save_weights(tmp_path / "w.pt", source.state_dict())
    head = target.fc.weight.clone()
    start, notice = find_start(str(tmp_path / "w.pt"))
    load_backbone(target, start)
    assert notice == "" and torch.equal(target.fc.weight, head)
    for key, value in source.state_dict().items():
        if not key.startswith("fc."):
            assert torch.equal(target.state_dict()[key], value)


def test_weights_of_another_network_are_refused_with_the_keys(tmp_path):
    save_weights(tmp_path / "w.pt", CifarNet(8).state_dict())
    with pytest.raises(UserError, match=r"another network: conv1.weight is missing.*and \d+ more"):
        find_start(str(tmp_path / "w.pt"))
    state = resnet18(4).state_dict()
    state["layer1.0.conv1.weight"] = torch.zeros(3, 3)
    state["extra"] = torch.zeros(1)
    with pytest.raises(UserError, match=r"extra is unknown; layer1.0.conv1.weight is \(3, 3\)"):
        load_backbone(resnet18(2), Start("x.pt", state))


def published_layout():
    """The state dict of torchvision's ImageNet file: 102 keys, older than batch norm's counters."""
    state = initialise(resnet18(1000), torch.Generator().manual_seed(3)).state_dict()
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


def test_weights_older_than_batch_norms_counters_are_taken_and_the_counters_are_0(tmp_path):
    state, model = published_layout(), resnet18(7)
    assert len(state) == 102
    torch.save(state, tmp_path / "old.pth")
    model.bn1.num_batches_tracked += 5
    start, _ = find_start(str(tmp_path / "old.pth"))
    load_backbone(model, start)
    assert torch.equal(model.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert model.bn1.num_batches_tracked == 0
    assert model.fc.out_features == 7
    del state["bn1.running_mean"]  # any other absent key is still an error
    torch.save(state, tmp_path / "old.pth")
    with pytest.raises(UserError, match=r"bn1.running_mean is missing"):
        find_start(str(tmp_path / "old.pth"))


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
def test_weights_are_found_in_a_checkpoint_and_behind_a_prefix(tmp_path, wrapper, prefix):
    state = {prefix + key: value for key, value in published_layout().items()}
    content = {wrapper: state, "epoch": 90, "best_acc1": 69.8} if wrapper else state
    torch.save(content, tmp_path / "w.pth")
    model = resnet18(3)
    load_backbone(model, find_start(str(tmp_path / "w.pth"))[0])
    assert torch.equal(model.conv1.weight, published_layout()["conv1.weight"])


def test_imagenets_published_file_in_the_cache_is_used_without_a_network(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained, "check_answer", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(published_layout(), tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    for weights in ("auto", "imagenet"):
        start, notice = find_start(weights)
        assert notice == "" and start.origin == "imagenet"
        load_backbone(resnet18(10), start)
        assert start.statistics(None)[0].tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_a_weights_file_can_run_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    for name, content in (("hostile", Hostile()), ("model", TinyNet()), ("list", [1])):
        torch.save(content, tmp_path / name)
        with pytest.raises(UserError, match=name):
            file_state(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "text").write_text("no weights")
    (tmp_path / "greeting").write_text("hello")
    torch.save({1: torch.ones(2)}, tmp_path / "numbered")
    (tmp_path / "cut").write_bytes((tmp_path / "list").read_bytes()[:-30])
    for name in ("text", "greeting", "numbered", "cut", "missing", "."):
        with pytest.raises(UserError, match=name):
            file_state(tmp_path / name)


def test_auto_weights_fall_back_loudly_and_imagenet_does_not(monkeypatch):
    def refuse():
        raise DownloadError("no route")

    monkeypatch.setattr(pretrained, "imagenet_state", refuse)
    start, notice = find_start("auto")
    assert start is None and "no route" in notice and "quarter turns" in notice
    with pytest.raises(UserError, match="--weights rotation"):
        find_start("imagenet")
    assert find_start("rotation") == (None, "")


def test_many_depths_are_drawn_and_the_deepest_may_have_diverged(tmp_path):
    depths = list(range(8, 75, 6))  # more than there are colours
    row = {"epoch": 1, "train_loss": 1.0, "train_acc": 0.5, "val_loss": 1.0, "val_acc": 0.5}
    arms = {}
    for depth in depths[:-1]:
        for arm in (f"resnet-{depth}", f"plain-{depth}"):
            fitted = Fit(["conv", "fc"], [row], [[1.0, 2.0]], [2.0], 100.0, 1)
            arms[arm] = [Outcome(arm, 0, nn.Identity(), fitted, np.array([True, False]))]
    plots_depth.draw_all(tmp_path, arms, depths, "nothing")
    assert len(list(tmp_path.glob("*.png"))) == 5
