"""What is said of the data, in text that nothing can misread."""

import numpy as np
import pytest

from shared_utils.datasets.inventory import inventory
from shared_utils.datasets.names import enumeration, printable, shortened


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("größe 猫 🐈 $1", "größe 猫 🐈 $1"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines\t", r"two\nlines\t"),
        ("\udcff", r"\udcff"),
        ("\u202egnp.tac", r"\u202egnp.tac"),  # would be shown from right to left
    ],
)
def test_what_cannot_be_printed_is_spelled_out(name, shown):
    assert printable(name) == shown
    shown.encode()  # can be written


def test_long_lists_are_shortened():
    assert enumeration(["a", "b"]) == "a, b"
    assert enumeration([str(i) for i in range(1009)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 1,001 more"


def test_a_long_name_keeps_its_beginning_and_its_end():
    assert shortened("x" * 40) == "x" * 40
    assert shortened("abcdefgh", 7) == "abc\N{HORIZONTAL ELLIPSIS}fgh"
    assert shortened("abcdefgh", 6) == "ab\N{HORIZONTAL ELLIPSIS}fgh"
    assert len(shortened("a" * 1000 + "b")) == 40


def test_each_part_is_a_line_with_its_classes_counted():
    parts = {"train": np.array([0, 1, 1, 1]), "val": np.array([1]), "test": np.array([0, 1])}
    assert inventory("pets", "/home/pets", ("cat", "dog"), parts) == [
        "data: pets, from /home/pets",
        "  train       4 images in 2 classes: cat 1, dog 3",
        "  val         1 image in 2 classes: cat 0, dog 1",
        "  test        2 images in 2 classes: cat 1, dog 1",
    ]


def test_many_classes_are_summed_up_by_their_spread():
    classes = tuple(f"c{i}" for i in range(100))
    _, line = inventory("many", "x", classes, {"train": np.repeat(np.arange(100), range(1, 101))})
    assert "5,050 images in 100 classes: 1 to 100 a class: c0 1, c1 2," in line
    assert line.endswith("c5 6 and 94 more")
