"""What all scripts share on the command line: their flags, and how they end."""

import argparse
import errno
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from shared_utils.datasets.names import printable
from shared_utils.errors import NothingToDo, UserError
from shared_utils.runs.folder import RunFolder
from shared_utils.runs.interrupts import Interrupted, obey_sigterm
from shared_utils.runs.resuming import PICKLE, Format

ROOT = Path(__file__).resolve().parents[1]

# The choices of --dataset in the sections that learn digits.
DIGIT_DATASETS = {
    "auto": "MNIST where it is on disk or can be downloaded, else digits",
    "mnist": "70,000 digits, 28x28",
    "digits": "scikit-learn's 1,797 small digits, offline",
    "idx": "your own four IDX files, named as MNIST's are, in <data-dir>",
}

# The choices of --dataset in the section that learns colour images.
IMAGE_DATASETS = {
    "auto": "CIFAR-10 where it is on disk or can be downloaded, else photo-digits",
    "cifar10": "60,000 photographs, 32x32, 10 classes",
    "folder": "your own images, <data-dir>/{train,val,test}/<class>/* or <data-dir>/<class>/*",
    "photo-digits": "1,797 digits blended with photographs, 32x32, offline",
}

# What a person can fix from outside: a full or read-only disc, a missing permission, a wrong path.
_FIXABLE = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EFBIG: "raise the file-size limit, or choose another folder",
    errno.EACCES: "choose a folder that you may write, or close what has the file open",
    errno.EPERM: "choose a folder that you may write, or change its permissions",
    errno.EROFS: "choose a folder on a disc that can be written",
    errno.EEXIST: "a file stands where a folder is needed: choose another folder",
    errno.EISDIR: "a folder stands where a file is needed: name another file",
    errno.ENOTDIR: "choose a path that leads through folders only",
    errno.ENAMETOOLONG: "choose a shorter path",
}


def number(allowed: Callable[[float], bool], words: str, kind: type = float) -> Callable:
    """Return an argparse type: a number of this kind that is `allowed`, as `words` say."""

    def read(text: str) -> float:
        with suppress(ValueError):
            if allowed(value := kind(text)):
                return value
        raise argparse.ArgumentTypeError(f"must be {words}, not {printable(text)}")

    return read


positive_int = number(lambda n: 1 <= n < 2**31, "a whole number from 1 to 2^31 - 1", int)
# What every library takes.
seed_number = number(lambda n: 0 <= n < 2**32, "a whole number from 0 to 2^32 - 1", int)
positive_float = number(lambda x: 0 < x < math.inf, "a finite number above 0")
non_negative_float = number(lambda x: 0 <= x < math.inf, "a finite number of at least 0")
momentum_number = number(lambda x: 0 <= x < 1, "from 0 to below 1")


def folder_path(text: str) -> Path:
    """Read a path; `~` is the user's home, also where no shell has replaced it (argparse type)."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~name, and no user is called so
        raise argparse.ArgumentTypeError(f"{text} names no user's home") from error


# The flags that scripts share, each described once, here.
_FLAGS = {
    "epochs": (positive_int, "passes over the training set"),
    "batch_size": (positive_int, "samples in a training step"),
    "lr": (positive_float, "learning rate"),
    "momentum": (momentum_number, "momentum coefficient, in [0, 1)"),
    "weight_decay": (non_negative_float, "pull of every weight towards zero"),
    "seeds": (positive_int, "repeat with this many seeds, from --seed upwards"),
    "dataset": (str, "which data"),
    "data_dir": (folder_path, "folder of the data sets (variable DL_DATA_DIR)"),
    "limit": (positive_int, "use at most this many training samples"),
    "seed": (seed_number, "seeds everything that is random"),
    "runs_dir": (folder_path, "where the run's folder is made"),
    "threads": (positive_int, "processor cores that share every batch; changes no result"),
    "rounds": (positive_int, "turns of each contender; medians are over them"),
    "steps": (positive_int, "steps in a turn"),
    "samples": (positive_int, "training images of the timed epoch"),
    "checkpoint_minutes": (positive_float, "keep a checkpoint this often, beside every epoch's"),
}
_SWITCHES = {
    "--quick": "a small run with every output, in a minute or two at most",
    "--no-show": "save figures, open no windows",
    "--skip-damaged": "leave out images that cannot be read; config.json of the run names them",
    "--resume": "continue where the run of the same arguments was stopped",
}


def add_shared_flags(
    parser: argparse.ArgumentParser,
    runs_dir: Path,
    datasets: dict[str, str] = DIGIT_DATASETS,
    resumable: bool = False,
    **defaults,
) -> None:
    """Add the flags that all scripts share.

    `--seed`, `--runs-dir`, `--quick` and `--no-show` are always there; any other of `_FLAGS` is
    added when its default is given (`epochs=20`). A default of None needs the words that `--help`
    says instead: pass a pair, `limit=(None, "all")`. With a default for each network,
    `lr={"relu": 0.1, "sigmoid": 0.3}`, the flag takes one value or several, and `value_of_each`
    says which network gets which. `datasets` holds the choices of `--dataset` and what each means;
    `--data-dir` comes with it, and where "folder" is one of them, `--skip-damaged`. `resumable`
    adds `--resume`.
    """
    for name, default in {**defaults, "seed": 0, "runs_dir": runs_dir}.items():
        kind, words = _FLAGS[name]
        several = isinstance(default, dict)
        if several:
            words += f": one for all, or one for each of {', '.join(default)}"
            default = (None, " ".join(f"{value:g}" for value in default.values()))
        default, shown = default if isinstance(default, tuple) else (default, "%(default)s")
        options = {"type": kind, "default": default} | ({"nargs": "+"} if several else {})
        if name == "dataset":
            words = "; ".join(f"{choice}: {meaning}" for choice, meaning in datasets.items())
            options["choices"] = list(datasets)
            add_data_dir_flag(parser)
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, help=f"{words} (default: {shown})", **options)
    optional = {
        "--resume": resumable,
        "--skip-damaged": "dataset" in defaults and "folder" in datasets,
    }
    for flag, words in _SWITCHES.items():
        if optional.get(flag, True):
            parser.add_argument(flag, action="store_true", help=f"{words} (default: off)")


def value_of_each(
    parser: argparse.ArgumentParser,
    flag: str,
    values: Sequence[float] | None,
    defaults: Mapping[str, float],
) -> dict[str, float]:
    """Return the value of each of the names in `defaults`: its own, the only one, or its default.

    Where there are neither one nor as many values as names, the parser ends the process.
    """
    if values is None:
        return dict(defaults)
    if len(values) not in (1, len(defaults)):
        names, count = ", ".join(defaults), len(defaults)
        parser.error(f"{flag}: {len(values)} values for {names}: give one for all, or {count}")
    return dict(zip(defaults, [*values] * len(defaults), strict=False))


def add_data_dir_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--data-dir`; the variable DL_DATA_DIR names another default."""
    kind, words = _FLAGS["data_dir"]
    default = os.environ.get("DL_DATA_DIR") or str(ROOT / "data")
    parser.add_argument(
        "--data-dir", type=kind, default=default, help=f"{words} (default: %(default)s)"
    )


def parse_args(
    parser: argparse.ArgumentParser, argv: list[str] | None, quick: dict
) -> argparse.Namespace:
    """Parse `argv`; with `--quick`, `quick` holds the defaults: explicit flags still win."""
    args = parser.parse_args(argv)
    if args.quick:
        parser.set_defaults(**quick)
        args = parser.parse_args(argv)
    return args


@contextmanager
def open_run(
    args: argparse.Namespace, name: str, data: dict, states: Format = PICKLE
) -> Iterator[RunFolder]:
    """Open the run folder `name` in `--runs-dir`; say which data was found, and what is amiss.

    `data` is what `config.json` says of the data: its "notice" is one line for the user, or "", and
    the lines of "found" are printed always.
    """
    from shared_utils.plotting import choose_backend

    if data.get("notice"):
        print(f"\n*** {printable(data['notice'])} ***\n")
    for line in [*data.get("found", []), choose_backend()]:
        if line:
            print(printable(line))
    with RunFolder(args.runs_dir / name, vars(args), data, states) as run:
        if run.opening:
            print(run.opening)
        yield run


def start(main: Callable[[], object]) -> None:
    """Run a script's `main` and end the process: whatever a user can fix is one line on stderr.

    Exit status: 0 for success, 2 for what the user can fix, 130 after Ctrl-C, 143 after SIGTERM.
    Any other exception is a bug of ours and keeps its traceback.
    """
    obey_sigterm()
    for stream in (sys.stdout, sys.stderr):  # a name may be in a script that the console has not
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except NothingToDo as done:
        print(done)
    except UserError as error:
        _exit(2, f"error: {error}")
    except ModuleNotFoundError as error:  # Sections 1 to 3 are installed without it
        if error.name not in ("torch", "torchvision"):
            raise
        _exit(2, "error: this needs PyTorch: pip install -r requirements.txt")
    except BrokenPipeError:  # the reader of our output (head, less) has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in _FIXABLE:
            raise
        named = error.filename2 or error.filename  # of two, what was to be replaced
        where = f": {named}" if named else ""
        _exit(2, f"error: {error.strerror}{where}: {_FIXABLE[error.errno]}")
    except MemoryError as error:
        _exit(2, f"error: out of memory: choose smaller sizes or fewer samples ({error})")
    except KeyboardInterrupt:
        _exit(130, "interrupted")
    except Interrupted as stop:
        _exit(128 + stop.number, "; ".join(filter(None, ("interrupted", stop.advice))))


def _exit(status: int, line: str) -> None:
    print(f"\n{printable(line)}", file=sys.stderr)
    sys.exit(status)
