"""The exercises of Section 2: measure a gradient, derive it for two layers, then use it."""

from functools import partial

import numpy as np

from shared_utils.exercises.oracles import section2 as oracle
from shared_utils.exercises.oracles.common import rng, sgd, steps_case
from shared_utils.exercises.table import ADDED, NOT_IN_PLACE, Exercise, call

LAYERS, OPTIMIZERS = "section2_optimization.layers", "section2_optimization.optimizers"
DERIVATIVES = "section2_optimization.gradcheck.derivatives"
PAGE = "section2_optimization/README.md"
X = rng(21).normal(size=(2, 3))
STEPS = {"steps": np.arange(11), "lr": 0.2, "total": 10, "lr_min": 0.0}

EXERCISES = [
    Exercise(
        number="2.1",
        title="a gradient by central differences",
        functions=(f"{DERIVATIVES}:numerical_gradient",),
        minutes=20,
        hint="_check(x, eps) refuses what must be refused. Work on a copy of x. For each index of"
        " np.ndindex(x.shape): add eps, ask f, subtract eps from the old value, ask f, put the old"
        " value back.",
        page=PAGE,
        heading="Is the gradient correct?",
        cases={
            "sum of cubes, eps = 0.1": {"f": oracle.sum_of_cubes, "x": X, "eps": 0.1},
            "cube of the sum, eps = 0.1": {"f": oracle.cube_of_sum, "x": X, "eps": 0.1},
            "cube of the sum, eps = 1e-4": {"f": oracle.cube_of_sum, "x": X, "eps": 1e-4},
        },
        probe=call(f"{DERIVATIVES}:numerical_gradient", "gradient"),
        oracle=oracle.central_difference,
        slips={
            "forward": "a forward difference: take f(x - eps) in place of f(x)",
            "eps": "divided by eps, but the two points are 2 eps apart",
            "not put back": "an element is not put back before the turn of the next",
        },
        promises=oracle.difference_promises,
        tolerance=1e-6,
    ),
    Exercise(
        number="2.2",
        title="backward of the linear layer",
        functions=(f"{LAYERS}.linear:Linear.backward",),
        minutes=15,
        hint="x is self._cached(). Three shapes decide nearly everything: dW has that of W, db that"
        " of b, dx that of x. Write self.grads['W'][:] = ... (a new array in its place is right,"
        " too; += is not), return dx.",
        page=PAGE,
        heading="A layer, forwards and backwards",
        cases={
            "6 samples, 3 inputs, 2 outputs": oracle.linear(1, 6, 3, 2),
            "4 samples, 4 inputs, 4 outputs": oracle.linear(2, 4, 4, 4),
            "5 samples, 3 inputs, 2 outputs, float32": oracle.linear(3, 5, 3, 2, np.float32),
        },
        probe=oracle.ask_linear,
        oracle=oracle.linear_gradients,
        slips={
            "added": ADDED,
            "W not transposed": "W must be transposed: dx = dy W^T",
            "sum of all": "db is the sum of all entries: sum over the batch alone, axis=0",
            "mean": "the mean over the batch, but db is the sum: only the loss divides by N",
        },
        promises=oracle.linear_promises,
        batch="x",
    ),
    Exercise(
        number="2.3",
        title="backward of batch normalization",
        functions=(f"{LAYERS}.normalization:BatchNorm1d.backward",),
        minutes=40,
        hint="self._cached() gives xhat and 1 / sqrt(var + eps); self._param_grads fills dgamma and"
        " dbeta. x reaches y on three ways: directly, through the mean, through the variance. In"
        " prediction (self._from_batch is false) the last two are closed.",
        page=PAGE,
        heading="A layer, forwards and backwards",
        cases={
            "training, 5 samples, 3 features": oracle.norm(1, 5, 3, training=True),
            "prediction, 4 samples, 3 features": oracle.norm(2, 4, 3, training=False),
        },
        probe=oracle.ask_norm,
        oracle=oracle.norm_gradients,
        slips={
            "added": ADDED,
            "both held": "mean and variance are taken for constants, but both depend on x",
            "variance held": "the way through the variance, - xhat avg(g xhat), is missing",
            "no mean": "the way through the mean, - avg(g), is missing",
            "no gamma": "gamma is missing: g = gamma dy",
            "training": "in prediction the statistics are constants: only the direct way is left",
        },
        batch="x",
        tolerance=1e-6,
    ),
    Exercise(
        number="2.4",
        title="SGD, heavy ball and Nesterov",
        functions=(f"{OPTIMIZERS}.sgd:SGD._update",),
        minutes=25,
        hint="velocity is None without momentum. `velocity *= ...` and `theta -= ...` write in"
        " place; g belongs to the caller: g + lambda theta is a new array. scratch may be unused.",
        page=PAGE,
        heading="The update rules, side by side",
        cases={
            "momentum 0, lr 0.1": steps_case(1, [0.1, 0.1], momentum=0.0, nesterov=False),
            "heavy ball, momentum 0.9": steps_case(
                2, [0.2, 0.1, 0.1], momentum=0.9, nesterov=False
            ),
            "Nesterov, momentum 0.5": steps_case(3, [0.2, 0.1, 0.1], momentum=0.5, nesterov=True),
        },
        probe=oracle.ask_sgd,
        oracle=partial(sgd, weight_decay=oracle.DECAY),
        slips={
            "not in place": NOT_IN_PLACE,
            "no decay": "the weight decay is missing",
            "no momentum": "v is forgotten from step to step: there is no momentum",
            "dampened": "the gradient enters v as (1 - momentum) g: here it enters whole",
            "heavy ball": "that is the heavy ball: Nesterov's step is g' + mu v",
            "old v": "Nesterov's step looks ahead with the v of this step, not of the last",
        },
    ),
    Exercise(
        number="2.5",
        title="Adam",
        functions=(f"{OPTIMIZERS}.adaptive:Adam._update",),
        minutes=25,
        hint="self.steps is t, 1 in the first step. Change m, v and theta in place; mhat and vhat"
        " are new arrays (scratch may stay unused). eps is added to the root, not under it.",
        page=PAGE,
        heading="The update rules, side by side",
        cases={
            "betas (0.9, 0.999), eps 1e-8": steps_case(
                4, [0.1, 0.1, 0.1, 0.1], betas=(0.9, 0.999), eps=1e-8
            ),
            "betas (0.5, 0.8), eps 0.1": steps_case(5, [0.1, 0.2, 0.1], betas=(0.5, 0.8), eps=0.1),
        },
        probe=oracle.ask_adam,
        oracle=oracle.adam,
        slips={
            "not in place": NOT_IN_PLACE,
            "no correction": "the bias correction is missing: mhat = m / (1 - beta1^t), and vhat"
            " = v / (1 - beta2^t)",
            "m not corrected": "the bias of m is not corrected: mhat = m / (1 - beta1^t)",
            "v not corrected": "the bias of v is not corrected: vhat = v / (1 - beta2^t)",
            "t + 1": "one step off: t is 1 in the first step",
            "eps inside": "eps stands under the root",
            "eps before": "eps is added before the correction of v, not after it",
            "not kept": "m and v are lost after each step: `m = ...` makes a new array, write into"
            " the old one (m *= ..., m += ...)",
            "betas swapped": "beta1 and beta2 are swapped",
            "no root": "the root of vhat is missing",
        },
    ),
    Exercise(
        number="2.6",
        title="a schedule: half a cosine",
        functions=("section2_optimization.schedules:cosine",),
        minutes=10,
        hint="The cosine falls from 1 to -1 while t goes from 0 to total; shift and scale that to"
        " lr and lr_min. math.cos takes radians.",
        page="section1_mlp/README.md",
        heading="The step",
        cases={"from 0.2 to 0": STEPS, "from 0.2 to 0.05": STEPS | {"lr_min": 0.05}},
        probe=oracle.ask_cosine,
        oracle=oracle.cosine,
        slips={
            "no lr_min": "lr_min is not used",
            "amplitude": "lr_min is added, but the amplitude is lr, not lr - lr_min",
            "whole": "a whole turn of the cosine: half a turn, pi, belongs to total",
            "quarter": "a quarter turn of the cosine: half a turn, pi, belongs to total",
            "total - 1": "total - 1 in place of total",
            "no 1": "the 1 of 1 + cos is missing",
            "not halved": "1 + cos lies between 0 and 2: halve it",
            "degrees": "cos takes radians: pi t / total",
        },
    ),
]
