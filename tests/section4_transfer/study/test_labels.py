import numpy as np
import pytest
import torch

from section4_transfer.engine.recipe import Recipe
from section4_transfer.study.labels import draw_labelled, label_counts
from section4_transfer.study.transfer import TransferStudy
from shared_utils.datasets.color_images import load_torch_data
from shared_utils.errors import UserError
from tests.section4_transfer.helpers import CPU

ORDER = torch.randperm(100, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)[ORDER]


def test_every_seed_draws_its_own_labels_with_the_classes_in_proportion():
    draws = [draw_labelled(Y, 20, seed, "learn from") for seed in range(40)]
    for drawn in draws:
        assert len(set(drawn.tolist())) == 20
        assert np.bincount(Y[drawn]).tolist() == [10, 6, 4]
    assert torch.equal(draws[3], draw_labelled(Y, 20, 3, "learn from"))
    assert not torch.equal(draws[3], draw_labelled(Y, 20, 3, "validate on"))
    times = np.bincount(torch.cat(draws), minlength=100)  # 8 each, on average
    assert times.min() >= 1 and times.max() <= 18
    assert draw_labelled(Y, 100, 0, "learn from").tolist() == list(range(100))
    assert sorted(Y[draw_labelled(Y, 3, 0, "learn from")].tolist()) == [0, 1, 2]


def test_the_numbers_of_labels_are_sorted_capped_and_enough_for_every_class():
    assert label_counts([1000, 10, 10, 4000], 500, 10) == [10, 500]
    assert label_counts(None, 45000, 10) == [450, 4500, 45000]
    assert label_counts(None, 80, 10) == [10, 80]
    with pytest.raises(UserError, match="at least 10"):
        label_counts([9, 100], 500, 10)


def test_a_small_validation_set_has_no_more_labels_than_there_are_to_learn_from():
    data = load_torch_data("photo-digits", "unused")
    for small, sizes in ((False, [144, 144]), (True, [30, 144])):
        study = TransferStudy(
            *(data, CPU, Recipe(1, 8, 0.1), range(1), None),
            size=32,
            labels=[30, 200],
            lrs={},
            weights=None,
            pretraining=Recipe(1, 8, 0.1),
            small_validation=small,
        )
        for n, size in zip(study.labels, sizes, strict=True):
            learn, val = study.labelled(n, 0)
            assert (len(learn), len(val)) == (n, size)
            x, y = study.data.part("val", val)
            assert torch.equal(x, data.x_val[val]) and torch.equal(y, data.y_val[val])
