"""Checkpoints: what a network has learned, in a file that cannot do anything but hold numbers.

A pickle can run any code when it is loaded, so checkpoints are read with a closed list of opcodes
and a closed list of one thing that they may build: an array of numbers.
"""

import pickle
import pickletools
from io import BytesIO
from pathlib import Path

import numpy as np

from shared_utils.errors import UserError
from shared_utils.files import write_atomically

_MAX_CHECKPOINT_BYTES = 2**30
_DTYPES = ("<f4", "<f8", "<i4", "<i8", "|u1", "|b1")
# Opcodes of plain containers, numbers, text and bytes, and of one call (STACK_GLOBAL, REDUCE) that
# `_Unpickler.find_class` narrows to arrays. What sets attributes or imports by name is not here.
_OPCODES = """
    PROTO FRAME STOP MARK MEMOIZE BINGET LONG_BINGET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2
    LONG1 BINFLOAT SHORT_BINUNICODE BINUNICODE SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8
    EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    STACK_GLOBAL REDUCE
"""


def save_checkpoint(path: Path, content: dict) -> None:
    """Write a dict of plain containers and numeric arrays as a pickle that `pickle.load` reads."""
    buffer = BytesIO()
    _Pickler(buffer, protocol=5).dump(content)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict:
    """Read what `save_checkpoint` wrote; build nothing but plain containers and numeric arrays.

    Raises UserError when the file is missing, truncated, or holds anything else.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_CHECKPOINT_BYTES:
            raise UserError(f"{path} is larger than any checkpoint of this project")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: train first") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    try:
        # This pass runs nothing. It also bounds memory: every length it meets must be in the file.
        for opcode, _, _ in pickletools.genops(content):
            if opcode.name not in _OPCODES.split():
                raise pickle.UnpicklingError(f"opcode {opcode.name}")
        checkpoint = _Unpickler(BytesIO(content)).load()
        _require_plain(checkpoint)
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(
            f"{path} is not a checkpoint of this project, or is damaged ({error}): train again"
        ) from error
    if not isinstance(checkpoint, dict):
        raise UserError(f"{path} is not a checkpoint of this project: it holds no dict")
    return checkpoint


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj):
        """Reduce arrays to `numpy.ndarray(shape, dtype, buffer)`; refuse what is not plain.

        It is asked for whatever is not a plain container, number or text. NumPy's own reduction
        needs objects (dtypes, `__setstate__`) that a reader must not trust.
        """
        if isinstance(obj, np.ndarray):
            array = np.asarray(obj, obj.dtype.newbyteorder("<"))
            if array.dtype.str not in _DTYPES:
                raise TypeError(f"a checkpoint holds no arrays of {obj.dtype}")
            return np.ndarray, (array.shape, array.dtype.str, bytearray(array.tobytes()))
        if obj is np.ndarray:
            return NotImplemented
        raise TypeError(f"a checkpoint holds no {type(obj).__name__}")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) != ("numpy", "ndarray"):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _array


def _array(shape, dtype, buffer):
    """Return a writable array over `buffer`, whose size must be exactly that of `shape`."""
    if dtype not in _DTYPES or not isinstance(buffer, bytearray):
        raise pickle.UnpicklingError("an array of a foreign kind")
    return np.frombuffer(buffer, dtype).reshape(shape)


def _require_plain(content) -> None:
    """Raise UnpicklingError unless there is nothing in `content` but plain things and arrays."""
    waiting, seen = [content], set()  # not recursive: a container may hold itself
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif not isinstance(value, (int, float, str, bytes, np.ndarray, type(None))):
            raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
