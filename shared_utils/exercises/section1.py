"""The exercises of Section 1: from scores to probabilities, to a loss, to gradients, to a step."""

import numpy as np

from shared_utils.exercises.oracles import section1 as oracle
from shared_utils.exercises.oracles.common import rng, sgd, steps_case
from shared_utils.exercises.table import ADDED, NOT_IN_PLACE, Exercise, call

FUNCTIONS, PAGE = "section1_mlp.functions", "section1_mlp/README.md"
LOGITS = rng(11).normal(0, 2, (5, 3))
LABELS = np.array([2, 0, 1, 1, 2])
LARGE = np.array([[1000.0, 998.0, 0.0], [-1000.0, -1001.0, -1000.5], [3.0, 1.0, 2.0]])

EXERCISES = [
    Exercise(
        number="1.1",
        title="softmax, which no logit can overflow",
        functions=(f"{FUNCTIONS}:softmax",),
        minutes=10,
        hint="Subtract each row's maximum first: it cancels in the fraction. `keepdims=True` keeps"
        " the result of max and sum a column (N, 1), which broadcasts over the row.",
        page=PAGE,
        heading="Forward",
        cases={
            "5 samples, 3 classes": {"logits": LOGITS},
            "3 samples, 3 classes": {"logits": LOGITS[:3]},
            "logits of 1000 and -1000": {"logits": LARGE},
            "float32": {"logits": LOGITS.astype(np.float32)},
        },
        probe=call(f"{FUNCTIONS}:softmax", "probs"),
        oracle=oracle.softmax,
        slips={
            "columns": "each column sums to 1, not each row: another axis",
            "no axis": "all entries together sum to 1, not each row: axis=1 is missing",
            "no division": "the division by the row's sum is missing",
            "no shift": "exp overflows: subtract the maximum of the row first",
        },
        batch="logits",
    ),
    Exercise(
        number="1.2",
        title="the cross-entropy, from the logits",
        functions=(f"{FUNCTIONS}:cross_entropy",),
        minutes=15,
        hint="For each row log sum_j exp(z_j) - z_y, then the mean over the rows. The entries y_i"
        " of all rows are z[np.arange(len(y)), y]. Subtract each row's maximum before exp.",
        page=PAGE,
        heading="Forward",
        cases={
            "5 samples, 3 classes": {"logits": LOGITS, "y": LABELS},
            "logits of 1000, the label improbable": {"logits": LARGE, "y": np.array([2, 1, 0])},
        },
        probe=call(f"{FUNCTIONS}:cross_entropy", "loss"),
        oracle=oracle.cross_entropy,
        slips={
            "log of softmax": "the logarithm of a probability that underflowed to zero: use the"
            " logits, log sum exp(z) - z_y",
            "all entries": "the mean over all entries, not over the label's entry of each row",
            "no label": "log sum exp is right, but the label's logit is not subtracted",
            "no shift": "exp overflows: subtract the maximum of the row first",
            "sum": "the sum over the batch, not the mean",
        },
        batch="logits",
    ),
    Exercise(
        number="1.3",
        title="the gradient of softmax and cross-entropy",
        functions=(f"{FUNCTIONS}:cross_entropy_grad",),
        minutes=10,
        hint="The probabilities, less 1 at the label of each row, over N. Work on a copy of probs.",
        page=PAGE,
        heading="Backward",
        cases={
            "5 samples, 3 classes": {"probs": oracle.softmax(LOGITS)["probs"], "y": LABELS},
            "one sample": {"probs": np.array([[0.5, 0.25, 0.25]]), "y": np.array([1])},
        },
        probe=call(f"{FUNCTIONS}:cross_entropy_grad", "dlogits"),
        oracle=oracle.cross_entropy_grad,
        slips={
            "no label": "the label's 1 is not subtracted",
            "entries": "it is divided by the number of entries: the loss is a mean over N rows",
            "classes": "it is divided by the number of classes, not of samples",
            "late": "1 is subtracted after the division by N, not before",
        },
        batch="probs",
    ),
    Exercise(
        number="1.4",
        title="the activations' derivatives, from their outputs",
        functions=tuple(f"{FUNCTIONS}:{name}_grad" for name in ("relu", "sigmoid", "tanh")),
        minutes=10,
        hint="Each takes a = g(z), not z. Differentiate g, then write what you find with a.",
        page=PAGE,
        heading="Backward",
        cases={
            "z = -3, -1, -0.2, 0, 0.3, 1, 2.5": {
                "z": np.array([-3.0, -1.0, -0.2, 0.0, 0.3, 1.0, 2.5])
            }
        },
        probe=oracle.ask_slopes,
        oracle=oracle.slopes,
        slips={
            "argument": "it takes its argument for z, but that is the output a = g(z)",
            "tanh": "that is the derivative of tanh, 1 - a^2",
            "sigmoid": "that is the derivative of sigmoid, a (1 - a)",
            "everywhere": "a >= 0 is always true: where z <= 0, a is 0, and so is the slope",
            "no square": "a is not squared",
            "itself": "that is the activation itself, not its slope",
        },
    ),
    Exercise(
        number="1.5",
        title="backward of the multilayer perceptron",
        functions=("section1_mlp.model:MLP.backward",),
        minutes=40,
        hint="Without a loss self._dZ is None. Start from it and walk from layer self.depth down to"
        " 1; self._A[layer - 1] is the input of a layer. Write self.grads[f'W{layer}'][:] = ... (a"
        " new array in its place is right, too; += is not). With `_, g_grad ="
        " ACTIVATIONS[self.activation]`, g_grad(self._A[layer - 1]) is g'(Z_{layer-1}): skip it for"
        " layer 1, whose input is x.",
        page=PAGE,
        heading="Backward",
        cases={
            "sizes 4-3-2, tanh, N = 5": oracle.network(1, (4, 3, 2), "tanh", "softmax", 5),
            "sizes 3-5-4-3, relu, N = 6": oracle.network(2, (3, 5, 4, 3), "relu", "softmax", 6),
            "sizes 3-3-3, sigmoid, N = 3": oracle.network(3, (3, 3, 3), "sigmoid", "softmax", 3),
            "sizes 2-4-2, relu, output linear, N = 5": oracle.network(
                4, (2, 4, 2), "relu", "linear", 5
            ),
        },
        probe=oracle.ask_network,
        oracle=oracle.network_gradients,
        slips={
            "added": ADDED,
            "no slope": "g' is missing: dZ of the layer below is (dZ W^T) * g'",
            "tanh": "the slope is that of tanh, 1 - a^2, whatever the activation is",
            "sigmoid": "the slope is that of sigmoid, a (1 - a), whatever the activation is",
            "relu": "the slope is that of relu, a > 0, whatever the activation is",
            "of z": "the slope of z in place of a: g_grad takes a = g(z), not z",
            "mean": "the mean over the batch, but db is the sum: N is in dZ already",
        },
        errors={
            "IndexError": "self._A has entries 0 .. depth - 1: the input of layer l is"
            " self._A[l - 1]",
            "KeyError": "the keys are W1, b1, ... up to W{depth}, b{depth}",
        },
        promises=oracle.network_promises,
        batch="x",
        tolerance=1e-6,
        builds_on=("1.1", "1.2", "1.3", "1.4"),
    ),
    Exercise(
        number="1.6",
        title="a step with momentum and weight decay",
        functions=("section1_mlp.optimizer:SGD.step",),
        minutes=20,
        hint="self.velocity starts empty: each parameter's v is np.zeros_like(param) at first."
        " Change v and the parameter in place, with -=, += and *=.",
        page=PAGE,
        heading="The step",
        cases={
            "momentum 0.9, lr 0.1": steps_case(5, [0.1, 0.1, 0.1], momentum=0.9, weight_decay=0.0),
            "momentum 0.5, lr 0.4, 0.2, 0.1": steps_case(
                6, [0.4, 0.2, 0.1], momentum=0.5, weight_decay=0.0
            ),
            "momentum 0.5, weight decay 0.1": steps_case(
                7, [0.1, 0.2], momentum=0.5, weight_decay=0.1
            ),
            "no momentum": steps_case(8, [0.1, 0.1], momentum=0.0, weight_decay=0.0),
        },
        probe=oracle.ask_sgd,
        oracle=sgd,
        slips={
            "not in place": NOT_IN_PLACE,
            "dampened": "the gradient enters v as (1 - momentum) dW: here it enters whole",
            "no momentum": "v is forgotten from step to step: there is no momentum",
            "no decay": "the weight decay is missing",
            "lr inside": "lr stands inside v; it must multiply v when the parameter moves",
            "late": "one step behind: the parameter moves by the v of the step before",
            "up": "it goes uphill: a step is against the gradient",
        },
    ),
]
