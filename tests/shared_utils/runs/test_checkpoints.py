"""Checkpoints: what is saved comes back, and nothing else gets in."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from shared_utils.errors import UserError
from shared_utils.runs.checkpoints import load_checkpoint, save_checkpoint

ARRAYS = {
    "f4": np.arange(6, dtype=np.float32).reshape(2, 3),
    "f8": np.array(1.5),
    "i8": np.zeros((0, 4), np.int64),
    "bool": np.array([True, False]),
    "strided": np.arange(12.0).reshape(3, 4).T[::2],
    "big endian": np.arange(3, dtype=">f8"),
}


def test_checkpoints_come_back_as_they_were(tmp_path):
    content = {"arrays": ARRAYS, "config": {"sizes": [3, 2], "name": "é", "lr": 0.1, "none": None}}
    save_checkpoint(tmp_path / "c.pkl", content)
    loaded = load_checkpoint(tmp_path / "c.pkl")
    assert loaded["config"] == content["config"]
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded["arrays"][key], array)
        assert loaded["arrays"][key].flags.writeable
    with open(tmp_path / "c.pkl", "rb") as file:  # and anybody's pickle reads them too
        np.testing.assert_array_equal(pickle.load(file)["arrays"]["f4"], ARRAYS["f4"])


@pytest.mark.parametrize("thing", [np.array(["text"]), np.array([{}]), Path("x"), {1: object()}])
def test_checkpoints_hold_nothing_but_plain_things(tmp_path, thing):
    with pytest.raises(TypeError, match="checkpoint holds no"):
        save_checkpoint(tmp_path / "c.pkl", {"thing": thing})
    assert list(tmp_path.iterdir()) == []


class Hostile:
    """Writes a file when it is unpickled: what a stranger's checkpoint could do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_checkpoint_runs_nothing(tmp_path, protocol):
    for content in ({"params": Hostile(tmp_path / "owned")}, Hostile(tmp_path / "owned")):
        (tmp_path / "c.pkl").write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(UserError, match="not a checkpoint"):
            load_checkpoint(tmp_path / "c.pkl")
        assert not (tmp_path / "owned").exists()


class Disguised:
    """Asks for a function by name, with the arguments of an array."""

    def __reduce__(self):
        return os.mkdir, ((2,), "<f4", bytearray(8))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"W": 1}, protocol=0), "opcode"),  # harmless, but not as we write it
        (pickle.dumps({"W": Disguised()}, protocol=5), r"asks for \w+\.mkdir"),
        (pickle.dumps({"W": np.ndarray}, protocol=5), "holds a function"),
    ],
)
def test_each_lock_of_the_checkpoint_reader_holds_by_itself(tmp_path, content, words):
    (tmp_path / "c.pkl").write_bytes(content)
    with pytest.raises(UserError, match=words):
        load_checkpoint(tmp_path / "c.pkl")


def test_a_truncated_checkpoint_is_refused_wherever_it_is_cut(tmp_path):
    save_checkpoint(tmp_path / "c.pkl", {"W": ARRAYS["f4"], "n": 3})
    content = (tmp_path / "c.pkl").read_bytes()
    for length in range(len(content)):
        (tmp_path / "c.pkl").write_bytes(content[:length])
        with pytest.raises(UserError, match="not a checkpoint"):
            load_checkpoint(tmp_path / "c.pkl")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x05\x8e" + (2**62).to_bytes(8, "little") + b".",  # bytes of an impossible length
        b"\x80\x05" + b"]" + b"(" * 100 + b".",
        pickle.dumps([1, 2]),
        pickle.dumps({"W": np.ndarray}),
        b"",
        np.random.default_rng(0).bytes(100),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "c.pkl").write_bytes(content)
    with pytest.raises(UserError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "c.pkl")


def test_a_missing_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="does not exist: train first"):
        load_checkpoint(tmp_path / "c.pkl")
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(tmp_path)
