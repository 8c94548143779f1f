"""What a file of weights says of itself."""

from pathlib import Path

import pytest

from shared_utils.datasets.gray_images import load_image_data
from shared_utils.errors import UserError
from shared_utils.runs.best_epoch import History
from shared_utils.runs.outcomes import Outcome
from shared_utils.weights_about import describe_weights, read_about

HISTORY = History()
HISTORY.add({"epoch": 1, "val_loss": 1.0, "val_acc": 0.5})
HISTORY.add({"epoch": 2, "val_loss": 0.5, "val_acc": 0.75})
HISTORY.add({"epoch": 3, "val_loss": 0.6, "val_acc": 0.75})


def test_it_says_what_it_distinguishes_in_images_of_which_size_and_how_well():
    data = load_image_data("digits", Path("nowhere"))
    content = describe_weights(data, Outcome("relu", 7, None, HISTORY))
    assert content == {
        "dataset": "digits",
        "title": "scikit-learn digits, not MNIST",
        "sha256": data.digest,
        "classes": [str(digit) for digit in range(10)],
        "image_size": [28, 28],
        "seed": 7,
        "epoch": 2,
        "val_acc": 0.75,
    }
    about = read_about(Path("x.pkl"), content, 10)
    assert about.classes == tuple("0123456789") and about.image_size == (28, 28)
    assert (about.dataset, about.seed, about.val_acc) == ("digits", 7, 0.75)


GOOD = {
    "dataset": "digits",
    "title": "digits",
    "classes": ["a", "b"],
    "image_size": [28, 28],
    "seed": 0,
    "val_acc": 0.5,
}


@pytest.mark.parametrize(
    "change",
    [
        {"classes": None},  # an earlier version's
        {"classes": ["a"]},
        {"classes": ["a", 1]},
        {"classes": "ab"},
        {"image_size": [28]},
        {"image_size": [28, 10**9]},
        {"image_size": [28, True]},
        {"image_size": [28.0, 28]},
        {"val_acc": "0.9"},
        {"seed": None},
        {"dataset": {}},
    ],
)
def test_what_does_not_say_it_is_refused(change):
    read_about(Path("x.pkl"), GOOD, 2)
    with pytest.raises(UserError, match=r"x\.pkl does not say which classes"):
        read_about(Path("x.pkl"), GOOD | change, 2)
