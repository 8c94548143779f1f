"""Showing a trained network one's own pictures: what the sections' `predict.py` share.

A picture becomes what the network was trained on, the network gives each class a probability, and
a line says so. What the network saw is drawn beside the original: a wrong answer to a picture that
was cut badly says nothing about the network.
"""

import argparse
import glob
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared_utils.cli import folder_path, positive_int
from shared_utils.datasets.decode import readable_suffixes
from shared_utils.datasets.listing import kind, kinds
from shared_utils.datasets.names import printable
from shared_utils.errors import UserError
from shared_utils.files import write_atomically

MOST_DRAWN, BARS = 10, 4  # of the figure: the first pictures, and the likeliest classes
_WANTED = "name a picture, a folder of pictures or a pattern"
_HEIC = {".heic", ".heif"}  # what telephones save
_HEIC_ADVICE = "save HEIC as JPEG, it cannot be read here"


@dataclass(frozen=True)
class Classifier:
    """A trained network, ready for pictures.

    `see(path)` reads one as the network's input (C, H, W) and raises UserError, naming it, if it
    cannot; `classify(x)` returns the probabilities of `labels` for such an input. `weights` is its
    file, `data` the title of what it was trained on.
    """

    weights: Path
    data: str
    labels: Sequence[str]
    see: Callable[[Path], np.ndarray]
    classify: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Answer:
    """What a network says of a picture: `ranking` holds (label, probability), the likeliest first.

    `seen` is what it saw, (C, H, W); `weights` is the network's file.
    """

    weights: Path
    path: Path
    seen: np.ndarray
    ranking: list[tuple[str, float]]

    def line(self, top: int) -> str:
        """Return the `top` likeliest classes in words."""
        first, *others = [f"{label} {probability:.2%}" for label, probability in self.ranking[:top]]
        then = f", then {', '.join(others)}" if others else ""
        return printable(f"{self.path}: {first}{then}")

    def json_line(self, top: int) -> str:
        """Return them as a JSON object in one line."""
        best = [{"label": label, "probability": value} for label, value in self.ranking[:top]]
        answer = {"file": str(self.path), **best[0], "top": best, "weights": str(self.weights)}
        return json.dumps(answer)


def add_picture_flags(parser: argparse.ArgumentParser, runs_dir: Path) -> None:
    """Add the pictures, and how the answers are shown; `runs_dir` holds the section's runs."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a picture, a folder of pictures, or a pattern"
    )
    parser.add_argument(
        "--top", type=positive_int, default=3, help="classes to name (default: %(default)s)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object a picture (default: off)"
    )
    parser.add_argument(
        "--show-input",
        action="store_true",
        help="open the figure of what the network saw, which is always saved (default: off)",
    )
    parser.add_argument(
        "--no-show", action="store_true", help="open no window, whatever is asked (default: off)"
    )
    parser.add_argument(
        "--runs-dir",
        type=folder_path,
        default=runs_dir,
        help="where trained networks are, and the answers go (default: %(default)s)",
    )


def answer_flags(args: argparse.Namespace, classifier: Classifier) -> list[Answer]:
    """Answer the pictures that the flags above name, as they say; return the answers."""
    return answer_pictures(
        args.images,
        classifier,
        args.runs_dir / "predict",
        top=args.top,
        as_json=args.json,
        show=args.show_input and not args.no_show,
    )


def find_pictures(names: Sequence[str]) -> tuple[list[Path], Counter]:
    """Return the pictures that files, folders (searched at any depth) and patterns (*, ?) name.

    Hidden files, and in folders and patterns those of other kinds, are left out: the second value
    counts the latter by their suffix. Raises UserError for a name that stands for none.
    """
    found, left_out = [], Counter()
    for name in names:
        if not name:
            raise UserError(f"an empty name was given: {_WANTED}")
        try:
            path = folder_path(name)
        except argparse.ArgumentTypeError as error:
            raise UserError(f"{error}: {_WANTED}") from error
        if path.is_dir():
            inside = sorted(path.rglob("*"))
        elif path.exists():
            found.append(path)
            continue
        else:
            inside = sorted(map(Path, glob.glob(str(path), recursive=True)))
        files = [file for file in inside if file.is_file() and not _is_hidden(file, path)]
        pictures = [file for file in files if file.suffix.lower() in readable_suffixes()]
        suffixes = Counter(file.suffix.lower() for file in files)
        others = Counter({s: n for s, n in suffixes.items() if s not in readable_suffixes()})
        if not pictures:
            _refuse(name, path, inside, others)
        found += pictures
        left_out += others
    return found, left_out


def _refuse(name: str, path: Path, inside: list[Path], others: Counter) -> None:
    """Raise UserError: `inside` the folder or pattern `path`, no file is a picture."""
    if not path.is_dir() and not inside:
        raise UserError(f"{name} does not exist: {_WANTED}")
    if not path.is_dir() and all(map(Path.is_dir, inside)):
        raise UserError(f"{name} matches only folders: for the files in them, write {path / '*'}")
    seen = f", but {_in_words(others)}" if others else ""
    advice = _HEIC_ADVICE if _HEIC & others.keys() else _WANTED
    verb = "holds" if path.is_dir() else "matches"
    raise UserError(f"{name} {verb} no picture{seen}: {advice}")


def _in_words(others: Counter) -> str:
    return kinds({kind(suffix): count for suffix, count in others.items()})


def answer_pictures(
    names: Sequence[str],
    classifier: Classifier,
    folder: Path,
    *,
    top: int = 3,
    as_json: bool = False,
    show: bool = False,
) -> list[Answer]:
    """Print a line for each picture; keep the lines and a figure of the first ones in `folder`.

    Raises UserError at the end when there were pictures that could not be used: each is named, and
    the others are answered.
    """
    (paths, left_out), answers = find_pictures(names), []
    if left_out:
        advice = f": {_HEIC_ADVICE}" if _HEIC & left_out.keys() else ""
        print(f"left out: {_in_words(left_out)}{advice}", file=sys.stderr)
    if not as_json:
        print(printable(f"network: {classifier.weights}, trained on {classifier.data}"))
    for path in paths:
        try:
            seen = classifier.see(path)
        except UserError as error:
            heic = path.suffix.lower() in _HEIC - readable_suffixes()
            advice = f": {_HEIC_ADVICE}" if heic else ""
            print(printable(f"error: {error}{advice}"), file=sys.stderr)
            continue
        probabilities = classifier.classify(seen)
        order = np.argsort(-probabilities, kind="stable")
        ranking = [(classifier.labels[k], float(probabilities[k])) for k in order]
        answer = Answer(classifier.weights, path, seen, ranking)
        print(answer.json_line(top) if as_json else answer.line(top), flush=True)
        answers.append(answer)
    if answers:
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{answer.json_line(top)}\n" for answer in answers)
        write_atomically(folder / "predictions.jsonl", lines.encode())
        draw(folder / "inputs.png", answers[:MOST_DRAWN], show)
        if not as_json:
            of = f" of the first {MOST_DRAWN} pictures" if len(answers) > MOST_DRAWN else ""
            print(f"what the network saw{of}: {folder / 'inputs.png'}")
    if len(answers) < len(paths):
        failed = len(paths) - len(answers)
        raise UserError(f"{failed} of {len(paths)} pictures could not be used, see above")
    return answers


def draw(path: Path, answers: list[Answer], show: bool = False) -> None:
    """Draw a row an answer: the picture, what the network saw, and the likeliest classes."""
    from shared_utils.datasets.decode import read_picture
    from shared_utils.plotting import COLORS, new_figure, save_figure, show_figures

    size = (8, 1.7 * len(answers) + 0.3)
    fig, axes = new_figure(len(answers), 3, size=size, squeeze=False)
    for (original, seen, bars), answer in zip(axes, answers, strict=True):
        picture = read_picture(answer.path, 300)
        picture.thumbnail((300, 300))
        original.imshow(picture)
        original.set_title(printable(answer.path.name)[-30:], fontsize="small")
        seen.imshow(answer.seen.transpose(1, 2, 0).squeeze(), cmap="gray")
        seen.set_title("what the network saw", fontsize="small")
        labels, probabilities = zip(*reversed(answer.ranking[:BARS]), strict=True)
        drawn = bars.barh(range(len(labels)), probabilities, 0.6, color=COLORS[0])
        bars.bar_label(drawn, [f"{value:.1%}" for value in probabilities], padding=3)
        bars.set(xlim=(0, 1.3), xticks=[], yticks=range(len(labels)))
        bars.set_yticklabels([printable(label)[:20] for label in labels])
        bars.grid(False)
        for ax in (original, seen):
            ax.set_axis_off()
    save_figure(fig, path)
    show_figures(no_show=not show)


def _is_hidden(file: Path, place: Path) -> bool:
    """Tell a hidden file; below a folder, also one in a hidden folder."""
    inside = file.relative_to(place).parts if place.is_dir() else file.parts[-1:]
    return any(part.startswith(".") for part in inside)
