"""Thousands of damaged checkpoints and strange command lines: read rightly, or refused."""

import argparse
import importlib
import math
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared_utils.cli import parse_args
from shared_utils.errors import UserError
from shared_utils.runs.checkpoints import load_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT = {
    "config": {"layer_sizes": [4, 3], "activation": "relu", "dtype": "float32"},
    "params": {"W1": np.arange(12, dtype=np.float32).reshape(4, 3), "b1": np.zeros(3, np.float64)},
    "state": {"step": 2**70, "loss": 0.5, "none": None, "flags": [True, (1, 2)], "bytes": b"\0\1"},
}
# Opcodes that import, call, set attributes, or ask for memory, among them sizes of 2^31 and 2^63.
GADGETS = (
    *(
        b"cos\nsystem\n",
        b"R",
        b"i",
        b"o",
        b"b",
        b"\x81",
        b"\x92",
        b"\x93",
        b"P0\n",
        b"Q",
        b"\x82\1",
    ),
    *(b"\x8c\x02os\x8c\x06system\x93", b"B\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 7 + b"\x7f"),
    *(b"\x96" + b"\xff" * 7 + b"\x7f", b"\x8b\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f", b"I1\n"),
    *(b"r\xff\xff\xff\x7f", b"(" * 50, b"]" * 50, b"\x94", b".", b"\x97", b"\x98"),
)
SCRIPTS = sorted(
    path for path in ROOT.glob("section*/*.py") if "def build_parser" in path.read_text()
)
WORDS = st.one_of(
    st.text(max_size=6),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["0", "-1", "1e999", "nan", "inf", "9" * 5000, "relu", "mnist", "-", "--", ""]),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "a.pkl"
    save_checkpoint(path, CHECKPOINT)
    return path, path.read_bytes()


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # of pickletools, in mutated text
@settings(max_examples=1000, deadline=None, derandomize=True)
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, 2**16),
            st.integers(0, 3),
            st.one_of(st.binary(max_size=4), st.sampled_from(GADGETS)),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_mutated_checkpoints_are_read_or_refused(file, edits):
    path, content = file
    for place, removed, inserted in edits:
        place %= len(content) + 1
        content = content[:place] + inserted + content[place + removed :]
    path.write_bytes(content)
    tracemalloc.start()
    try:
        read = load_checkpoint(path)
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert isinstance(read, dict) and only_plain(read)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2**23


def only_plain(value, depth=0) -> bool:
    if depth > 60:  # it holds itself, or is a pile of lists
        return True
    if isinstance(value, dict):
        return all(only_plain(item, depth + 1) for pair in value.items() for item in pair)
    if isinstance(value, (list, tuple)):
        return all(only_plain(item, depth + 1) for item in value)
    return type(value) in (int, float, bool, str, bytes, np.ndarray, type(None))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_strange_command_lines_end_in_one_line(path, capsys):
    module = importlib.import_module(f"{path.parent.name}.{path.stem}")
    flags = st.sampled_from(sorted(module.build_parser()._option_string_actions))

    def parse(argv):
        parser = module.build_parser()
        if hasattr(module, "QUICK"):
            return parse_args(parser, argv, module.QUICK)
        return parser.parse_args(argv)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.one_of(flags, WORDS), max_size=6))
    @example(["--quick"])
    def check(argv):
        try:
            args = parse(argv)
        except SystemExit as end:
            output = capsys.readouterr()
            assert end.code == (0 if output.out else 2)
            if end.code == 2:
                assert "error: " in output.err and "Traceback" not in output.err
        else:
            numbers = [value for value in vars(args).values() if isinstance(value, float)]
            assert isinstance(args, argparse.Namespace) and all(map(math.isfinite, numbers))

    check()


def test_the_oracle_knows_a_gadget():
    """What the mutations insert is what a careless reader would obey."""
    assert pickle.loads(b"\x80\x04\x8c\x02os\x8c\x03sep\x93.") == "/"
