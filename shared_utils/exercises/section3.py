"""The exercises of Section 3: what a unit sees, convolution both ways, pooling, and the loop."""

import numpy as np

from shared_utils.exercises.oracles import section3 as oracle
from shared_utils.exercises.oracles.common import rng
from shared_utils.exercises.table import ADDED, Exercise, call

TEXTBOOK, PAGE = "section3_cnn.layers.textbook", "section3_cnn/README.md"
SMALL = oracle.convolution(1, (2, 2, 4, 5), (3, 2, 3, 2), (1, 1), (0, 0))
STRIDED = oracle.convolution(2, (3, 2, 5, 6), (2, 2, 3, 3), (2, 1), (1, 2))
SQUARE = oracle.convolution(3, (2, 1, 4, 4), (2, 1, 3, 3), (1, 1), (1, 1))
EQUAL = np.array([[1, 1, 0, 2], [1, 0, 2, 2], [0, 0, 3, 1], [0, 0, 1, 3]], float)[None, None]
LOOP = {"n": 10, "epochs": 2, "batch_size": 4, "lr": 0.5, "first_step": 0, "fails_at": 0}
LOOP |= {"augments": False}
SLACK = oracle.columns(3, (3, 1, 4, 7), (2, 3), (3, 3), (1, 2))  # a swapped padding fits as well
GEOMETRY = {
    "padding swapped": "padding is (height, width): the two are swapped",
    "stride swapped": "stride is (height, width): the two are swapped",
    "no padding": "the padding is missing",
    "no stride": "the stride is not used: it is 1 everywhere",
    "one too few": "one place too few along each axis: the + 1 is missing, `places` has it",
    "flipped": "the filter is turned by 180 degrees: in this lesson it is not",
}
GEOMETRY |= {f"{slip}, shape": GEOMETRY[slip] for slip in oracle.STEPS}
SHAPES = {
    "shapes": "write the shape of each array beside the equation: is a transpose missing, or are"
    " kernel, padding or stride not (height, width)? `places` gives the height and width of y",
    "IndexError": "an index runs past the end: are kernel, padding and stride (height, width)?",
}

EXERCISES = [
    Exercise(
        number="3.1",
        title="the receptive field of each layer",
        functions=("section3_cnn.study.fields:receptive_fields",),
        minutes=25,
        hint="Keep size, jump and start as np.array pairs and update them in this order: size and"
        " start with the old jump, then the jump. Layers without a window change nothing. `places`"
        " gives the number of units; look at Field for what is to be returned.",
        page=PAGE,
        heading="The other layers",
        cases={
            "a convolution 3x5, padding (1, 2), images 40x48": {
                "windows": [("conv", (3, 5), (1, 1), (1, 2))]
            },
            "conv 3x3, pool 2x2, conv 5x3, pool 3x2, images 40x48": {
                "windows": [
                    ("conv", (3, 3), (1, 1), (1, 1)),
                    ("pool", (2, 2), (2, 2), (0, 0)),
                    ("conv", (5, 3), (2, 1), (2, 1)),
                    ("pool", (3, 2), (2, 2), (0, 0)),
                ]
            },
        },
        probe=oracle.ask_fields,
        oracle=oracle.fields,
        slips={
            "new jump": "it uses the new jump: the field and the start grow by the old one",
            "no jump": "a step of this layer is `jump` pixels of the image, not one",
            "kernel": "the field grows by (k - 1) jumps, not k: the first pixel is there already",
            "added": "jumps multiply: j <- j s",
            "swapped": "height and width are swapped: every pair is (height, width)",
            "no padding": "the padding moves the start to the left: a <- a - p j",
        },
    ),
    Exercise(
        number="3.2",
        title="convolution by its definition",
        functions=(f"{TEXTBOOK}:convolve",),
        minutes=20,
        hint="Pad the image with np.pad. np.ndindex(y.shape) runs through all n, o, r, q, another"
        " one over W.shape[1:] through c, i, j. `places` gives the height and width of y.",
        page=PAGE,
        heading="Convolution, forward",
        cases=oracle.named(SMALL, STRIDED, SQUARE),
        probe=call(f"{TEXTBOOK}:convolve", "y"),
        oracle=oracle.convolve,
        slips={
            **GEOMETRY,
            "no bias": "the bias is missing",
            "one channel": "only the last input channel counts: sum over all of them",
        },
        errors=SHAPES,
        batch="x",
    ),
    Exercise(
        number="3.3",
        title="im2col and col2im",
        functions=(f"{TEXTBOOK}:im2col", f"{TEXTBOOK}:col2im"),
        minutes=40,
        hint="height, width = places(...). For pixel (i, j) of a window, padded[:, :, i : i + sh *"
        " height : sh, j : j + sw * width : sw] is that pixel of all windows at once, (N, C,"
        " height, width): swapaxes(0, 1) makes it cols[:, i, j] of an array (C, kh, kw, N, height,"
        " width). col2im goes the same way back, from zeros with the padding, by +=, and cuts it"
        " off: [ph : ph + H].",
        page=PAGE,
        heading="Convolution, forward",
        cases=oracle.named(
            oracle.columns(1, (4, 2, 2, 9), (1, 3), (1, 3), (0, 0)),
            oracle.columns(2, (2, 3, 4, 5), (3, 2), (1, 1), (0, 0)),
            SLACK,
            oracle.columns(4, (2, 1, 5, 4), (3, 2), (2, 1), (1, 2)),
            oracle.columns(4, (2, 1, 5, 4), (3, 2), (2, 1), (1, 2), np.float32),
        ),
        probe=oracle.ask_columns,
        oracle=oracle.columns_oracle,
        slips={
            **GEOMETRY,
            "not cut": "the padding is not cut off: dx has the shape of x",
            "width first": "the rows are in the order (C, kw, kh), they must be (C, kh, kw)",
            "pixels first": "the rows are in the order (kh, kw, C), they must be (C, kh, kw)",
            "images last": "the columns are in the order (height, width, N), they must be"
            " (N, height, width)",
            "last pixel": "where windows overlap, the last one wins: add with +=",
            "last window": "where windows overlap, the last one wins: add with +=",
        },
        errors=SHAPES,
        batch="x",
    ),
    Exercise(
        number="3.4",
        title="backward of the convolution",
        functions=(f"{TEXTBOOK}:TextbookConv2D.backward",),
        minutes=30,
        hint="Bring dy (N, O, height, width) into the order of Y: swap the first two axes, then"
        " reshape to (O, N height width). Then three lines: dW from dy and self._cols, db, and"
        " dcols = W^T dy, which goes back by col2im(dcols, self._in_shape, ...). self._W_rows() is"
        " W as a matrix. Without self.needs_input_grad return None. Write self.grads['W'][:] = ...:"
        " the network holds these arrays.",
        page=PAGE,
        heading="Convolution, backward",
        cases=oracle.named(*map(oracle.with_dy, (SMALL, STRIDED, SQUARE))),
        probe=oracle.ask_convolution,
        oracle=oracle.convolution_gradients,
        slips={
            "added": ADDED,
            "no swap": "dy is reshaped without swapping batch and channels first",
            "flipped": "the filter is turned by 180 degrees: with col2im it is not",
            "mean": "db is the sum over images and places, not their mean",
        },
        errors=SHAPES,
        promises=oracle.convolution_promises,
        batch="x",
        builds_on=("3.3",),
    ),
    Exercise(
        number="3.5",
        title="backward of max-pooling",
        functions=("section3_cnn.layers.pooling:MaxPool2D.backward",),
        minutes=30,
        hint="self._x holds the images of the forward pass. A loop over all windows will do, by"
        " np.ndindex(grad_out.shape): np.unravel_index(window.argmax(), window.shape) is the place"
        " of the largest pixel, where the gradient of the window goes. Windows may overlap.",
        page=PAGE,
        heading="The other layers",
        cases={
            "x (2, 3, 4, 7), kernel 2x3 side by side": {
                "x": rng(1).normal(size=(2, 3, 4, 7)),
                "grad_out": rng(2).normal(size=(2, 3, 2, 2)),
                "kernel": (2, 3),
                "stride": (2, 3),
            },
            "x (2, 1, 6, 5), kernel 3x3, stride (2, 1)": {
                "x": rng(3).normal(size=(2, 1, 6, 5)),
                "grad_out": rng(4).normal(size=(2, 1, 2, 3)),
                "kernel": (3, 3),
                "stride": (2, 1),
            },
            "x (2, 1, 6, 7), kernel 3x3, stride (2, 3)": {
                "x": rng(5).normal(size=(2, 1, 6, 7)),
                "grad_out": rng(6).normal(size=(2, 1, 2, 2)),
                "kernel": (3, 3),
                "stride": (2, 3),
            },
            "x (1, 1, 4, 4) with equal pixels, kernel 2x2": {
                "x": EQUAL,
                "grad_out": 1.0 + np.eye(2)[None, None],
                "kernel": (2, 2),
                "stride": (2, 2),
            },
        },
        probe=oracle.ask_pool,
        oracle=oracle.pool_gradient,
        slips={
            "all equal": "all of several equal pixels get the gradient: only the first must",
            "last": "the last of several equal pixels gets the gradient: it must be the first",
            "everywhere": "every pixel of the window gets the gradient: only the largest must",
            "average": "that is the gradient of average pooling",
            "overwritten": "where windows overlap, the last one wins: add with +=",
            "stride swapped": GEOMETRY["stride swapped"],
        },
        errors=SHAPES,
        batch="x",
    ),
    Exercise(
        number="3.6",
        title="the training loop",
        functions=("section3_cnn.training:train_steps",),
        minutes=30,
        hint="A generator: for each epoch, for each batch of `minibatches(len(x), batch_size,"
        " shuffle)`: settings.augment(x[batch], draws) if there is one, compute_gradients, check"
        " the loss, set optimizer.lr, optimizer.step, yield the loss. Batches before first_step are"
        " drawn, but nothing is learned from them.",
        page=PAGE,
        heading="Read the code in this order",
        cases={
            "two epochs, the last batch short": LOOP,
            "from step 2 on": LOOP | {"first_step": 2},
            "augmented": LOOP | {"augments": True},
            "the fourth loss is not finite": LOOP | {"fails_at": 4},
        },
        probe=oracle.ask_loop,
        oracle=oracle.loop,
        slips={
            "one order": "every epoch has the same order: shuffle in each",
            "in order": "the images are not shuffled",
            "short dropped": "the last, shorter batch is left out",
            "one late": "lr is that of the next step: steps count from 0",
            "one early": "lr is that of the step before: set it before optimizer.step",
            "constant": "lr stays as it was: ask learning_rate(...) in every step",
            "from 0": "first_step is not used: the training begins at step 0",
            "not drawn": "the batches before first_step must be drawn and passed over",
            "not augmented": "settings.augment is not used: it takes x[batch] and draws",
            "not watched": "a loss that is not finite must raise FloatingPointError",
        },
    ),
]
