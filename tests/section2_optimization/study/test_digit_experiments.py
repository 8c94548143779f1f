"""The conclusions of the experiments on digits are computed, by one rule."""

import math
from dataclasses import replace

import numpy as np
import pytest

from section2_optimization.study import digit_plots
from section2_optimization.study.digit_experiments import (
    BATCH_SIZES,
    DEEP,
    EXPERIMENTS,
    LRS,
    SMALL_TO_LARGE,
    WIDE,
    compare_norms,
    conclude_learning_rates,
    conclude_overfitting,
    with_lrs,
)
from section2_optimization.study.digit_search import Search
from shared_utils.stats import paired_difference


def found(setting, accuracies, losses=(0.5, 0.5, 0.5)):
    """Return a search of one setting, with these results on every split."""
    tests = [{"acc": acc, "loss": loss} for acc, loss in zip(accuracies, losses, strict=True)]
    rows = [
        [{"train_acc": 1.0, "val_acc": acc, "val_loss": loss}]
        for acc, loss in zip(accuracies, losses, strict=False)
    ]
    return Search([setting], [rows], 0, tests)


def test_batch_norm_minus_layer_norm_at_every_size():
    searches = {
        (norm, size): found(DEEP, accuracies)
        for size in SMALL_TO_LARGE
        for norm, accuracies in (("batch", [0.2, 0.22, 0.21]), ("layer", [0.8, 0.81, 0.83]))
    }
    first, *others = EXPERIMENTS["batch-size"].conclude(searches)
    assert first.startswith("batches of 2: test accuracy, batch norm minus layer norm: -60.33")
    assert "(4 comparisons together): a clear difference" in first
    assert len(others) == 3


def test_overfitting_is_a_gap_and_each_remedy_is_compared_with_neither():
    accuracies, more = [0.8, 0.82, 0.81], [0.81, 0.83, 0.825]
    searches = {
        ("neither",): found(WIDE, accuracies, [0.6, 0.5, 0.7]),
        ("dropout",): found(replace(WIDE, dropout=0.5), more, [0.5, 0.41, 0.6]),
        ("weight_decay",): found(replace(WIDE, weight_decay=0.01), accuracies, [0.6, 0.5, 0.7]),
    }
    gap, dropout_loss, dropout_acc, decay_loss, decay_acc = conclude_overfitting(searches)
    assert gap == "without both: training minus validation accuracy 19.00 points"
    expected = paired_difference([0.5, 0.41, 0.6], [0.6, 0.5, 0.7], comparisons=4)
    assert (
        f"dropout 0.5 minus neither: {expected.mean:+.3f}, 95 % interval {expected.low:+.3f}"
        in (dropout_loss)
    )
    assert "a clear difference" in dropout_loss
    assert dropout_acc.startswith("test accuracy, dropout 0.5 minus neither: +1.17 points")
    assert "weight decay 0.01 minus neither: +0.000" in decay_loss
    assert "+0.00 points" in decay_acc


@pytest.mark.parametrize("power", [1, 0.5])
def test_the_growth_of_the_best_rate_is_found(power):
    lrs = [0.002 * 2**k for k in range(10)]
    searches = {}
    for size in BATCH_SIZES:
        best = 0.008 * (size / BATCH_SIZES[0]) ** power
        rows = [[[{"val_loss": abs(np.log(lr / best))}] for _ in range(3)] for lr in lrs]
        settings = with_lrs(DEEP, lrs)
        searches[size,] = Search(
            settings, rows, int(np.argmin([r[0][0]["val_loss"] for r in rows])), []
        )
    rates, growth = conclude_learning_rates(searches)
    assert rates.startswith("best rates: 0.008 for 4, ")
    doublings = 6 * power
    assert f"grows by {doublings:g} to {doublings:g} doublings, {doublings:g} on average" in growth
    assert growth.endswith("in proportion it would be 6, by the root 3")


def test_the_growth_of_the_best_rate_is_told_by_seed():
    def best_at(doublings):  # for each of three seeds
        losses = [[abs(k - d) for d in doublings] for k in range(8)]
        rows = [[[{"val_loss": loss}] for loss in seeds] for seeds in losses]
        return Search(with_lrs(DEEP, [0.001 * 2**k for k in range(8)]), rows, doublings[0], [])

    searches = {(size,): best_at([0, 0, 0]) for size in BATCH_SIZES[:-1]}
    searches[BATCH_SIZES[-1],] = best_at([5, 5, 6])
    _, growth = conclude_learning_rates(searches)
    assert "grows by 5 to 6 doublings, 5.33 on average of 3 seeds" in growth


def test_what_diverged_is_compared_with_nothing():
    fine, lost = found(DEEP, [0.8, 0.9], (0.5, 0.6)), found(DEEP, [0.1, 0.1], (math.inf, 0.3))
    assert lost.diverged and not fine.diverged
    other_rate = Search([DEEP, DEEP], [*lost.rows, *fine.rows], 1, fine.tests)
    assert not other_rate.diverged  # the chosen one did not
    searches = {("batch", 1): fine, ("", 1): lost, ("batch", 2): fine, ("", 2): fine}
    first, second = compare_norms(searches, "batch", "", "scale {}")
    assert first == (
        "scale 1: test accuracy, batch norm minus no normalisation: nothing to compare,"
        " some seed of no normalisation diverged at every rate"
    )
    assert "scale 2: test accuracy, batch norm minus no normalisation: +0.00 points" in second


def test_networks_of_a_plan_differ_in_nothing_but_what_is_asked():
    for name, experiment in EXPERIMENTS.items():
        bases = {replace(s[0], **free(name)) for s in experiment.plan.values()}
        assert len(bases) == 1, name
    assert {tuple(s.lr for s in EXPERIMENTS["batch-size"].plan["layer", 2])} == {LRS}


def free(name):
    """Return what an experiment varies, set to one value."""
    asked = {"weight-scale": {"weight_scale": 1, "norm": ""}, "batch-size": {"norm": ""}}
    asked["overfitting"] = {"dropout": 0, "weight_decay": 0}
    return {"lr": 1, "batch_size": 1} | asked.get(name, {})


def test_what_diverged_is_drawn_hollow(monkeypatch):
    figures = []
    monkeypatch.setattr(digit_plots, "save_figure", lambda fig, path: figures.append(fig))
    fine = found(DEEP, [0.8, 0.9], (0.5, 0.6))
    lost = found(DEEP, [0.1, 0.2], (math.inf, 0.3))
    digit_plots.draw_norms(None, {("", 1): fine, ("", 10): lost}, "nothing", xlabel="scale")
    for ax in figures[0].axes:
        hollow = [line for line in ax.lines if line.get_markerfacecolor() == "w"]
        assert [line.get_xdata().tolist() for line in hollow] == [[10]]
    assert figures[0].axes[1].lines[1].get_ydata() == pytest.approx([0.15])
