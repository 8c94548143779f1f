"""What an accuracy hides: how each class fares, where some classes have more images than others.

Of 300 images of which 285 show a cat, "cat" is right for 95 %. Balanced accuracy, the mean over the
classes of the accuracy within each, is 50 % then, as for a coin.
"""

import numpy as np

from shared_utils.datasets.color_images import TorchData
from shared_utils.runs.outcomes import Outcome, best_variant

UNEQUAL = 1.5  # the largest class has more than so many times the images of the smallest


def class_report(groups: dict[str, list[Outcome]], data: TorchData) -> tuple[dict, list[str]]:
    """Return what the summary says of the classes, and the lines to print; nothing if all is equal.

    Of each variant it is the first seed that is reported.
    """
    sizes = np.bincount(data.y_train.numpy(), minlength=len(data.classes))
    if sizes.max() <= UNEQUAL * sizes.min():
        return {}, []
    labels, largest = data.y_test.numpy(), int(sizes.argmax())
    accuracies = {name: class_accuracies(group[0], labels, data) for name, group in groups.items()}
    content = {
        "largest_class": {
            "name": data.classes[largest],
            "test_acc": float((labels == largest).mean()),
        },
        "balanced_acc": {name: float(np.nanmean(acc)) for name, acc in accuracies.items()},
    }
    best = best_variant(groups)
    lines = [
        f"the classes are unequal: always answering {data.classes[largest]} is right for"
        f" {content['largest_class']['test_acc']:.2%} of the test images",
        "balanced accuracy, the mean over the classes: "
        + ", ".join(f"{name} {acc:.2%}" for name, acc in content["balanced_acc"].items()),
        f"{best}, class by class:",
        *_rows(groups[best][0], labels, accuracies[best], data.classes),
    ]
    return content, lines


def class_accuracies(outcome: Outcome, labels: np.ndarray, data: TorchData) -> np.ndarray:
    """Return which part of each class's test images is right, (classes,); NaN where it has none."""
    totals = np.bincount(labels, minlength=len(data.classes)).astype(float)
    correct = np.bincount(labels[outcome.correct], minlength=len(data.classes))
    return np.divide(correct, totals, out=np.full(len(totals), np.nan), where=totals > 0)


def confusion_matrix(outcome: Outcome, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return how many test images of each class (rows) got each answer (columns)."""
    answers = outcome.scores.argmax(axis=1)
    return np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)


def _rows(
    outcome: Outcome, labels: np.ndarray, accuracies: np.ndarray, classes: tuple[str, ...]
) -> list[str]:
    totals, answers = (
        np.bincount(values, minlength=len(classes))
        for values in (labels, outcome.scores.argmax(axis=1))
    )
    width = max(len(name) for name in (*classes, "class")) + 2
    return [f"{'class':<{width}}{'test images':>12}{'accuracy':>10}{'answered':>10}"] + [
        f"{name:<{width}}{total:>12,}{accuracy:>10.2%}{answered:>10,}"
        for name, total, accuracy, answered in zip(
            classes, totals, accuracies, answers, strict=True
        )
    ]
