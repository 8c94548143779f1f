"""The exercises of Section 4: shortcuts, measured gradients, frozen features, mixup, a verdict."""

import numpy as np

from shared_utils.exercises.oracles import section4 as oracle
from shared_utils.exercises.oracles.common import rng
from shared_utils.exercises.table import Exercise

MODELS, TRAINING = "section4_transfer.models", "section4_transfer.training"
PAGE = "section4_transfer/README.md"
GRADS = [oracle.images(1, 3, 4), oracle.images(2, 2, 3), oracle.images(3, 4, 2, 3, 3)]
LOGITS = oracle.images(4, 5, 3)
LABELS = np.array([2, 0, 1, 1, 2])
SOFT = rng(5).dirichlet([1, 1, 1], 5).astype(np.float32)
RIGHT = rng(6).random((2, 40)) < [[0.8], [0.6]]
A, B = [0.91, 0.88, 0.93, 0.9, 0.86], [0.87, 0.88, 0.9, 0.85, 0.87]

EXERCISES = [
    Exercise(
        number="4.1",
        title="the shortcut without parameters, option A",
        functions=(f"{MODELS}:BasicBlock.shortcut",),
        minutes=15,
        hint="x[:, :, :: stride, :: stride] is every stride-th pixel. F.pad takes pairs from the"
        " last axis backwards: (left, right, top, bottom, channels before, channels behind).",
        page=PAGE,
        heading="Shortcuts",
        cases={
            "the shape stays": {"x": oracle.images(1, 2, 3, 4, 4), "channels": 3, "stride": 1},
            "half the pixels, twice the channels": {
                "x": oracle.images(2, 2, 2, 4, 6),
                "channels": 4,
                "stride": 2,
            },
        },
        probe=oracle.ask_shortcut,
        oracle=oracle.shortcut,
        slips={
            "zeros first": "the zeros stand before the channels of x: they belong behind",
            "repeated": "the new channels repeat the old ones: they must be zero",
            "averaged": "the pixels are averaged: option A takes every second one as it is",
            "odd pixels": "it starts at pixel 1: start at pixel 0",
        },
        batch="x",
        needs="torch",
    ),
    Exercise(
        number="4.2",
        title="the residual block",
        functions=(f"{MODELS}:BasicBlock.forward",),
        minutes=15,
        hint="conv1, bn1, relu; conv2, bn2; then the shortcut where self.residual says so; and relu"
        " at the very end, after the sum.",
        page=PAGE,
        heading="Shortcuts",
        cases={
            f"{kind}, {channels} channels": {
                "x": oracle.images(7, 2, 4, 6, 6),
                "channels": channels,
                "stride": channels // 4,
                "residual": kind == "residual",
            }
            for kind in ("plain", "residual")
            for channels in (4, 8)
        },
        probe=oracle.ask_block,
        oracle=oracle.block,
        slips={
            "no shortcut": "the shortcut is missing",
            "always": "a plain network (self.residual is false) has no shortcut",
            "relu before": "relu comes after the sum, not before it",
            "no last relu": "the last relu is missing",
            "no inner relu": "the relu between the two convolutions is missing",
            "no second norm": "the second batch norm is missing",
        },
        batch="x",
        builds_on=("4.1",),
        needs="torch",
    ),
    Exercise(
        number="4.3",
        title="what a step adds: loss, correct answers, the gradients' norms",
        functions=(f"{TRAINING}:Training.add_step",),
        minutes=15,
        hint="self.sums has three entries (summed losses, correct answers, samples), self.norms one"
        " for each of self.weights: torch.linalg.vector_norm of its grad. Soft labels (N, classes)"
        " count as their largest entry. Add, do not overwrite.",
        page=PAGE,
        heading="Shortcuts",
        cases={
            "labels": {"losses": 4.5, "logits": LOGITS, "labels": LABELS, "grads": GRADS},
            "soft labels": {"losses": 4.5, "logits": LOGITS, "labels": SOFT, "grads": GRADS[:2]},
        },
        probe=oracle.ask_step,
        oracle=oracle.step_sums,
        slips={
            "squared": "the root is missing: the norm is sqrt(sum of squares)",
            "absolute": "the sum of absolute values: the norm is sqrt(sum of squares)",
            "root mean square": "the mean of the squares: the norm is the root of their sum",
            "whole": "one norm of the whole gradient: each layer has its own",
            "overwritten": "the sums of the steps before are lost: add with +=",
            "mean": "means over the batch, but sums are wanted: the last batch is shorter",
        },
        batch="logits",
        needs="torch",
    ),
    Exercise(
        number="4.4",
        title="features of a frozen backbone, batch norm in eval mode",
        functions=(f"{TRAINING}:extract_features", f"{TRAINING}:_outputs"),
        minutes=30,
        hint="Put nn.Identity() in the place of model.fc and put the head back at the end, also"
        " after an error (try, finally). In eval mode, pass the images through in batches of"
        " _EVALUATION_BATCH: inputs, _ = prepare(images, labels, None). For one process the methods"
        " of runtime are not needed.",
        page=PAGE,
        heading="Transfer",
        cases={
            f"{n} images": {
                "x": oracle.images(n, n, 3),
                "mean": np.array([1.0, -1.0, 0.5]),
                "var": np.array([4.0, 1.0, 0.25]),
            }
            for n in (6, 300)
        },
        probe=oracle.ask_features,
        oracle=oracle.features,
        slips={
            "training mode": "the network is in training mode: batch norm uses the batch's"
            " statistics, and changes its own. Call model.eval() first",
            "no head": "model.fc is not the head afterwards: put it back",
        },
        promises=oracle.features_promises,
        batch="x",
        needs="torch",
    ),
    Exercise(
        number="4.5",
        title="mixup, images and labels alike",
        functions=("section4_transfer.augment:mixup.mix",),
        minutes=25,
        hint="Draw w (N,) from Beta(alpha, alpha) by a NumPy generator seeded from the given one,"
        " and a partner for each image by torch.randperm, with generator=generator. F.one_hot"
        " makes the labels vectors. Use the same w and the same partners for both; w[:, None]"
        " broadcasts over the classes.",
        page=PAGE,
        heading="Augmentation",
        cases={
            "8 images, 3 classes": {
                "labels": np.array([0, 1, 2, 0, 1, 2, 0, 1]),
                "classes": 3,
                "alpha": 1.0,
            },
            "5 images, 5 classes": {"labels": np.arange(5), "classes": 5, "alpha": 0.5},
        },
        probe=oracle.ask_mixup,
        oracle=oracle.mixup,
        slips={
            "hard": "the labels are not mixed, the images are",
            "swapped": "w and 1 - w are swapped between images and labels",
            "half": "the labels are mixed half and half: use the w of the images",
            "of the other": "the labels are those of the partners",
        },
        promises=oracle.mixup_promises,
        batch="labels",
        drawn="weights",
        needs="torch",
    ),
    Exercise(
        number="4.6",
        title="a paired difference and its interval",
        functions=("shared_utils.stats:paired_difference",),
        minutes=30,
        hint="Several pairs: the J differences of their means, their mean, and t(level, J - 1)"
        " sqrt((1/J + overlap) var), var with divisor J - 1 (scipy.stats.t.ppf). One pair of"
        " boolean arrays: the docstring names the formula. Return a Difference; nan where there is"
        " no interval.",
        page=PAGE,
        heading="How a difference is judged",
        cases={
            "5 seeds": {"a": A, "b": B, "comparisons": 1, "overlap": 0.0},
            "3 seeds, 4 comparisons": {"a": A[:3], "b": B[:3], "comparisons": 4, "overlap": 0.0},
            "5 folds that overlap": {"a": A, "b": B, "comparisons": 1, "overlap": 0.25},
            "one pair of networks": {
                "a": [RIGHT[0]],
                "b": [RIGHT[1]],
                "comparisons": 2,
                "overlap": 0.0,
            },
            "one pair of numbers": {"a": A[:1], "b": B[:1], "comparisons": 1, "overlap": 0.0},
        },
        probe=oracle.ask_interval,
        oracle=oracle.interval,
        slips={
            "normal": "the normal quantile, 1.96: with few pairs it is Student's, with J - 1",
            "divisor J": "the variance has the divisor J: it must be J - 1 (ddof=1)",
            "unpaired": "that is the interval of unpaired samples: take the differences first",
            "no root of J": "the spread of single differences, not of their mean: divide by J",
            "one-sided": "the quantile is 0.95: two sides leave 0.025 on each",
            "alone": "the number of comparisons is not used: 0.025 / comparisons on each side",
            "no overlap": "the overlap of the folds is not used: 1/J + overlap",
            "no half": "1/2 must be added to each of the four counts",
        },
    ),
]
