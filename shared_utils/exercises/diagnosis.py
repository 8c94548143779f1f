"""What is wrong with an answer, in words: where it differs, and what such a difference means.

A wrong array says a lot about the slip that made it. Twice the right numbers, their transpose, N
times as much: each has its usual cause. First come the classic slips of the exercise, whose numbers
its oracle can compute, then those that any exercise may have.
"""

import math

import numpy as np

from shared_utils.datasets.names import printable
from shared_utils.exercises.table import Exercise

FLOAT32_TOLERANCE = 2e-5  # of the largest expected entry
PARAMETERS = {"params", "W", "b", "gamma", "beta"}  # arguments of cases that are a layer's


def judge_case(row: Exercise, arguments: dict, record: dict) -> list[str]:
    """Return what is wrong with the answers to one case, in a few lines; none if all are right."""
    if record["changed"]:
        names = ", ".join(record["changed"])
        if PARAMETERS.isdisjoint(record["changed"]):
            return [f"it changes its argument {names}: work on a copy, the caller still needs it"]
        return [f"it changes the parameters ({names}): only the optimizer does; write into grads"]
    if row.drawn:
        arguments = arguments | {row.drawn: decode(record["answers"].get(row.drawn, {}))}
    empty = [name for name, answer in record["answers"].items() if "error" in answer]
    expected = {n: wanted for n, wanted in row.oracle(**arguments).items() if n not in empty}
    wrong = {}
    for name, wanted in expected.items():
        lines = compare(record["answers"].get(name, {"type": "NoneType"}), wanted, row.tolerance)
        if lines:
            wrong[name] = lines
    if not wrong:
        return []
    name, lines = next(iter(wrong.items()))
    lines = [f"{name}: {lines[0]}", *lines[1:]]
    others = [other for other in expected if other not in wrong]
    for words, names in (("right in this case", others), ("still empty", empty)):
        lines += [f"{words}: {', '.join(names)}"] if names else []
    answer, wanted = decode(record["answers"].get(name, {})), np.asarray(expected[name])
    if answer is not None and not matches(answer, wanted, row.tolerance):
        lines += explain(row, arguments, name, answer, wanted)
    return lines


def decode(encoded: dict) -> np.ndarray | None:
    """Return the array of numbers of an encoded answer; None for anything else."""
    if "values" not in encoded:
        return None
    array = np.array(encoded["values"], encoded["dtype"] or None)
    return array.reshape(encoded["shape"])


def compare(encoded: dict, wanted, tolerance: float) -> list[str]:
    """Return how an answer differs from what is wanted: in kind, shape, dtype, or numbers."""
    wanted, answer = np.asarray(wanted), decode(encoded)
    kind = printable(str(encoded["type"]))[:60]
    if kind == "NoneType":
        return ["it is None: is a return missing, or was something never written?"]
    if answer is None:
        more = f" of {encoded['dtype']} {tuple(encoded['shape'])}" if "dtype" in encoded else ""
        return [f"it is a {kind}{printable(more)}, not {_form(wanted)} of numbers"]
    if answer.shape != wanted.shape:
        return [f"its shape is {answer.shape}, but {wanted.shape} is expected"]
    if wanted.dtype.kind == "f" and encoded["dtype"] and answer.dtype != wanted.dtype:
        return [
            f"its dtype is {answer.dtype}, but {wanted.dtype} goes in and is expected:"
            " something on the way has another dtype"
        ]
    if matches(answer, wanted, tolerance):
        return []
    return _numbers(answer, wanted, tolerance)


def matches(answer: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    """Return whether two arrays are equal up to `tolerance` times the largest wanted entry."""
    if answer.shape != wanted.shape:
        return False
    return bool(np.all(_is_close(answer, wanted, tolerance)))


def _is_close(answer, wanted, tolerance):
    if np.float32 in (answer.dtype, wanted.dtype):
        tolerance = max(tolerance, FLOAT32_TOLERANCE)
    finite = np.abs(wanted[np.isfinite(wanted)])
    largest = float(finite.max(initial=0)) or 1.0
    return np.isclose(answer, wanted, rtol=0, atol=tolerance * largest, equal_nan=True)


def _numbers(answer: np.ndarray, wanted: np.ndarray, tolerance: float) -> list[str]:
    odd = ~np.isfinite(answer) & np.isfinite(wanted)
    if odd.any():
        place = _place(np.argwhere(odd)[0])
        value = answer[odd].flat[0]
        return [f"{int(odd.sum())} of {answer.size} entries are not finite, {value}{place} first"]
    wrong = ~_is_close(answer, wanted, tolerance)
    gap = np.where(wrong, np.abs(answer.astype(float) - wanted), -1)
    at = np.unravel_index(np.argmax(gap), gap.shape)
    what = f"{int(wrong.sum())} of {answer.size} entries of {_form(wanted)} are wrong"
    return [
        what if wanted.shape else "the value is wrong",
        f"largest difference {gap[at]:.4g}{_place(at)}:"
        f" it is {answer[at]:.6g}, expected {wanted[at]:.6g}",
    ]


def _form(wanted: np.ndarray) -> str:
    return f"an array {wanted.shape}" if wanted.shape else "a single value"


def _place(at) -> str:
    return f" at [{', '.join(map(str, at))}]" if len(at) else ""


def explain(
    row: Exercise, arguments: dict, name: str, answer: np.ndarray, wanted: np.ndarray
) -> list[str]:
    """Return what a difference of this kind usually means: one line, or none."""
    close = row.tolerance
    with np.errstate(all="ignore"):
        for slip, words in row.slips.items():
            slipped = row.oracle(**arguments, slip=slip)
            if name in slipped and matches(answer, np.asarray(slipped[name]), close):
                return [words]
        batch = len(arguments[row.batch]) if row.batch else 0
        found = _shape_words(answer, wanted, close, batch) or _words(answer, wanted, close, batch)
    return [found] if found else []


def _shape_words(answer, wanted, close: float, batch: int) -> str:
    """Return what another shape means, or ""."""
    if answer.shape == wanted.shape:
        return ""
    if not answer.size:
        return "nothing is left of it: a cut [p:-p] is empty where p is 0, [p : p + height] is not"
    if answer.ndim > 1 and matches(answer.T, wanted, close):
        return "it is the transpose of what is expected"
    if answer.size == wanted.size and matches(answer.reshape(wanted.shape), wanted, close):
        return "the numbers are right, only the shape is not (keepdims, reshape?)"
    if batch and answer.shape == (batch, *wanted.shape):
        if matches(answer.sum(axis=0), wanted, close):
            return "the sum over the batch is missing"
        if matches(answer.mean(axis=0), wanted, close):
            return "the mean over the batch is missing"
    if answer.shape == wanted.shape[::-1]:
        return "the axes are in the reverse order: a transpose, or a product the other way round"
    return ""


def _words(answer, wanted, close: float, batch: int) -> str:
    """Return what wrong numbers in the right shape mean, or ""."""
    if answer.shape != wanted.shape:
        return ""
    answer, wanted = answer.astype(float), wanted.astype(float)
    if not np.isfinite(answer).all():
        return "an overflow, a division by zero or a logarithm of zero"
    if wanted.any() and not answer.any():
        return "it is zero everywhere: nothing was written, or it was written to a copy"
    square = answer.ndim == 2 and answer.shape[0] == answer.shape[1] > 1
    if square and matches(answer.T, wanted, close):
        return "it is the transpose of what is expected"
    factor = float(np.vdot(wanted, answer) / np.vdot(wanted, wanted)) if wanted.any() else 1.0
    if matches(answer, factor * wanted, close) and factor:
        return _factor_words(factor, batch, answer.size)
    shift = float(np.mean(answer - wanted))
    if answer.size > 2 and matches(answer, wanted + shift, close):
        return f"every entry is {shift:.6g} too large: a constant was added"
    if matches(np.abs(answer), np.abs(wanted), close):
        return "the sizes are right, some signs are not"
    if answer.size > 2 and matches(np.sort(answer, None), np.sort(wanted, None), close):
        return "these are the right numbers in another order: a transpose or a reshape"
    return ""


def _factor_words(factor: float, batch: int, size: int) -> str:
    def is_factor(value: float) -> bool:
        return math.isclose(factor, value, rel_tol=1e-4)

    if is_factor(-1):
        return "every entry has the wrong sign"
    if batch > 1 and is_factor(batch):
        return (
            f"every entry is {batch} times too large, exactly N: the batch is summed, not averaged"
        )
    if batch > 1 and is_factor(1 / batch):
        return (
            f"every entry is {batch} times too small, exactly N: it is divided by the batch size"
            " once too often (only the loss divides by N, and only once)"
        )
    if size > 1 and (is_factor(size) or is_factor(1 / size)):
        which = (
            "large: a sum in place of a mean" if factor > 1 else "small: a mean in place of a sum"
        )
        return f"every entry is {size} times too {which}; {size} is the number of entries"
    return f"every entry is {factor:.6g} times the expected one: a constant factor"


def explain_error(row: Exercise, kind: str, text: str) -> list[str]:
    """Return what an exception usually means: one line, or none."""
    renamed = "is the name as in the hand-out?"
    shapes = (
        "shapes",
        "broadcast",
        "mismatch",
        "reshape",
        "size of tensor",
        "cannot be multiplied",
        "aligned",
    )
    if kind in ("ValueError", "RuntimeError") and any(word in text for word in shapes):
        kind = "shapes"
    usual = {
        "shapes": "write the shape of each array beside the equation: is a transpose missing, or is"
        " a sum over the wrong axis?",
        "IndexError": "an index runs past the end: which one, and how long is that axis or list?",
        "MemoryError": "it asks for more memory than a grader has: look at the shapes",
        "SystemExit": "the code ends the process: take sys.exit or exit() out",
        "RecursionError": "the function calls itself without an end",
        "AttributeError": f"{renamed} Or is it None, or another type than you think?",
        "ImportError": renamed,
        "NameError": renamed,
        "NotImplementedError": f"{renamed} The method of the base class was called in its place",
        "ZeroDivisionError": "what is the divisor in the first step?",
    }
    words = row.errors.get(kind) or usual.get(kind)
    return [words] if words else []
