"""The right answers of Section 3, and what the classic slips give in their place."""

from types import SimpleNamespace

import numpy as np

from shared_utils.exercises.oracles.common import gradient, rng
from shared_utils.exercises.table import lesson

Pair = tuple[int, int]


def ask_fields(windows) -> dict:
    """Ask for the fields of a chain of layers, given as (layer, kernel, stride, padding)."""
    layers, fields = lesson("section3_cnn.layers"), lesson("section3_cnn.study.fields")
    chain = [
        layers.Conv2D(1, 1, kernel, stride, padding, rng=rng(0))
        if layer == "conv"
        else layers.MaxPool2D(kernel, stride)
        for layer, kernel, stride, padding in windows
    ]
    model = lesson("section3_cnn.model").Sequential(chain)
    found = fields.receptive_fields(model, (1, 40, 48))
    names = ("size", "jump", "start")
    return {name: np.array([getattr(field, name) for field in found]) for name in names}


def fields(windows, slip: str = "") -> dict:
    """Follow units 0 and 1 of each layer down to the pixels; the slips follow the recurrences."""
    if slip:
        return fields_by_recurrence(windows, slip)
    found = {"size": [], "jump": [], "start": []}
    for depth in range(1, len(windows) + 1):
        first, last, second = (np.array([u, u]) for u in (0, 0, 1))
        for _, kernel, stride, padding in reversed(windows[:depth]):
            first, second = (u * np.array(stride) - padding for u in (first, second))
            last = last * stride - padding + np.array(kernel) - 1
        found["size"].append(last - first + 1)
        found["jump"].append(second - first)
        found["start"].append(first)
    return {name: np.array(rows) for name, rows in found.items()}


def fields_by_recurrence(windows, slip: str) -> dict:
    """Return r, j and a by the recurrences of the lesson, with a slip in them."""
    r, j, a = np.array([1, 1]), np.array([1, 1]), np.array([0, 0])
    found = {"size": [], "jump": [], "start": []}
    for _, kernel, stride, padding in windows:
        kernel, stride, padding = map(np.array, (kernel, stride, padding))
        by = j * stride if slip == "new jump" else 1 if slip == "no jump" else j
        r = r + (kernel - (0 if slip == "kernel" else 1)) * by
        a = a - padding * by if slip != "no padding" else a
        j = j + stride - 1 if slip == "added" else j * stride
        for name, value in (("size", r), ("jump", j), ("start", a)):
            found[name].append(value)
    return {name: np.array(rows) for name, rows in found.items()}


def convolution(
    seed: int, x: tuple[int, ...], W: tuple[int, ...], stride: Pair, padding: Pair
) -> dict:
    """Return a case of a convolution of images with these shapes."""
    draw = rng(seed)
    arrays = {"x": draw.normal(size=x), "W": draw.normal(size=W), "b": draw.normal(size=W[0])}
    return arrays | {"stride": stride, "padding": padding}


def windows_of(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    """Return all windows of images, (N, C, height, width, kh, kw)."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    every = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    return every[:, :, :: stride[0], :: stride[1]]


def convolve(x, W, b, stride, padding, slip: str = "") -> dict:
    """y = W . window + b, by one einsum over all windows."""
    stride = stride[::-1] if slip == "stride swapped" else stride
    windows = windows_of(x, W.shape[2:], stride, padding)
    filters = W[:, :, ::-1, ::-1] if slip == "flipped" else W
    if slip == "one channel":
        windows, filters = windows[:, -1:], filters[:, -1:]
    y = np.einsum("ocij,ncrqij->norq", filters, windows)
    return {"y": y if slip == "no bias" else y + b[:, None, None]}


def columns(seed: int, x: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> dict:
    """Return a case of im2col and col2im."""
    draw = rng(seed)
    x = draw.normal(size=x)
    dcols = draw.normal(size=im2col(x, kernel, stride, padding).shape)
    return {"x": x, "dcols": dcols, "kernel": kernel, "stride": stride, "padding": padding}


def im2col(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, order="cijnrq") -> np.ndarray:
    """Return the windows as columns; `order` says along which axes they are laid out."""
    windows = windows_of(x, kernel, stride, padding)
    laid_out = np.einsum(f"ncrqij->{order}", windows)
    return laid_out.reshape(np.prod(laid_out.shape[:3]), -1)


def ask_columns(x, dcols, kernel, stride, padding) -> dict:
    """Ask for the columns of x, and for the images that dcols goes back to."""
    textbook, window = lesson("section3_cnn.layers.textbook"), (kernel, stride, padding)
    return {
        "cols": textbook.im2col(x, *window),
        "dx": textbook.col2im(dcols, x.shape, *window),
    }


def columns_oracle(x, dcols, kernel, stride, padding, slip: str = "") -> dict:
    """im2col by einsum; col2im is its transpose, found by asking im2col for each pixel."""
    window = kernel, stride, padding
    if slip in ("pixels first", "images last"):
        return {"cols": im2col(x, *window, {"p": "ijcnrq", "i": "cijrqn"}[slip[0]])}
    if slip.startswith("last"):  # number the pixels (0: padding), and see which value comes last
        sources = im2col(np.arange(1, x.size + 1).reshape(x.shape), *window)
        order = "C" if slip == "last pixel" else "F"
        dx = np.zeros(x.size + 1)
        for source, value in zip(sources.ravel(order), dcols.ravel(order), strict=True):
            dx[source] = value
        return {"dx": dx[1:].reshape(x.shape)}
    dx = gradient(lambda v: np.vdot(dcols, im2col(v, *window)), x, eps=1.0)
    return {"cols": im2col(x, *window), "dx": dx}


def ask_convolution(x, W, b, stride, padding, dy) -> dict:
    """Ask the textbook's layer with these weights for its gradients."""
    layer = lesson("section3_cnn.layers").TextbookConv2D(
        W.shape[1], W.shape[0], W.shape[2:], stride, padding, rng=rng(0), dtype=np.float64
    )
    layer.params["W"][:], layer.params["b"][:] = W, b
    layer.forward(x)
    return {"dx": layer.backward(dy), "dW": layer.grads["W"], "db": layer.grads["b"]}


def with_dy(case: dict) -> dict:
    """Return a case of a convolution with a dLoss/dy as well."""
    return case | {"dy": rng(9).normal(size=convolve(**case)["y"].shape)}


def convolution_gradients(x, W, b, stride, padding, dy, slip: str = "") -> dict:
    """Measure them; y is linear in x, W and b, so a difference over any distance is exact."""
    if slip == "no swap":  # (N, O, height, width) read as (O, N height width)
        rows, window = dy.reshape(len(W), -1), (W.shape[2:], stride, padding)
        dcols = W.reshape(len(W), -1).T @ rows
        return {
            "dx": gradient(lambda v: np.vdot(dcols, im2col(v, *window)), x, eps=1.0),
            "dW": (rows @ im2col(x, *window).T).reshape(W.shape),
            "db": rows.sum(axis=1),
        }

    def loss(x=x, W=W, b=b) -> float:
        return float(np.vdot(dy, convolve(x, W, b, stride, padding)["y"]))

    filters = W[:, :, ::-1, ::-1] if slip == "flipped" else W
    return {
        "dx": gradient(lambda v: loss(x=v, W=filters), x, eps=1.0),
        "dW": gradient(lambda v: loss(W=v), W, eps=1.0),
        "db": gradient(lambda v: loss(b=v), b, eps=1.0) / (dy[:, 0].size if slip == "mean" else 1),
    }


def ask_pool(x, dy, kernel, stride) -> dict:
    """Ask max-pooling for its gradient."""
    layer = lesson("section3_cnn.layers").MaxPool2D(kernel, stride)
    layer.forward(x)
    return {"dx": layer.backward(dy)}


def pool_gradient(x, dy, kernel, stride, slip: str = "") -> dict:
    """Window by window: dy goes to the first of the largest pixels, and adds up."""
    dx = np.zeros_like(x)
    for n, c, r, q in np.ndindex(dy.shape):
        here = (
            n,
            c,
            slice(r * stride, r * stride + kernel),
            slice(q * stride, q * stride + kernel),
        )
        window, grad = x[here], np.zeros((kernel, kernel))
        place = kernel**2 - 1 - window[::-1, ::-1].argmax() if slip == "last" else window.argmax()
        grad.flat[place] = dy[n, c, r, q]
        if slip in ("all equal", "everywhere", "average"):
            grad = dy[n, c, r, q] * ((window == window.max()) if slip == "all equal" else 1.0)
            grad = grad / (kernel**2 if slip == "average" else 1) * np.ones((kernel, kernel))
        dx[here] = np.where(grad != 0, grad, dx[here]) if slip == "overwritten" else dx[here] + grad
    return {"dx": dx}


def ask_loop(n, epochs, batch_size, lr, first_step, fails_at) -> dict:
    """Ask the loop what it does: network, loss and optimizer are dummies that write it down.

    An image is its own number, a label ten times that; the loss is the sum of a batch.
    """
    seen, labels, steps = [], [], []
    model = SimpleNamespace(params={"W": np.zeros(1)}, grads={"W": np.zeros(1)})
    optimizer = SimpleNamespace(lr=lr, step=lambda params, grads: steps.append(optimizer.lr))

    def learn(model, images: np.ndarray, y: np.ndarray) -> float:
        seen.append(images)
        labels.append(y)
        return float("nan") if len(seen) == fails_at else float(images.sum())

    training = lesson("section3_cnn.training")
    settings = training.Settings(epochs, batch_size, lr, schedule="cosine")
    x, losses = np.arange(n, dtype=float), []
    options = {"shuffle": rng(1), "learn": learn, "first_step": first_step}
    try:
        for loss in training.train_steps(model, optimizer, x, 10 * x, settings, **options):
            losses.append(loss)
    except FloatingPointError:
        steps.append(-1.0)
    images = np.concatenate(seen)
    return {
        "the sizes of the batches": np.array([len(batch) for batch in seen]),
        "the images, in order": images,
        "the labels, less those of the images": np.concatenate(labels) - 10 * images,
        "lr in each step of the optimizer": np.array(steps),
        "the losses": np.array(losses),
    }


def loop(n, epochs, batch_size, lr, first_step, fails_at, slip: str = "") -> dict:
    """Write down what the loop should do."""
    draw = rng(1)
    orders = [draw.permutation(n) for _ in range(epochs)]
    orders = {"one order": orders[:1] * epochs, "in order": [np.arange(n)] * epochs}.get(
        slip, orders
    )
    batches = [order[i : i + batch_size] for order in orders for i in range(0, n, batch_size)]
    total = len(batches)
    if slip == "short dropped":
        batches = [batch for batch in batches if len(batch) == batch_size]
    steps = list(enumerate(batches))[0 if slip == "from 0" else first_step :]
    if slip == "not drawn":  # the first batches are not passed over, the count alone starts later
        steps = [(first_step + i, batch) for i, batch in enumerate(batches[: total - first_step])]
    shift = {"one late": 1, "one early": -1}.get(slip, 0)
    lrs = [lr * (1 + np.cos(np.pi * max(0, step + shift) / total)) / 2 for step, _ in steps]
    lrs = [lr] * len(steps) if slip == "constant" else lrs
    used, made = steps, len(steps)
    if fails_at and slip != "not watched":
        used, made = steps[:fails_at], fails_at - 1
        lrs = [*lrs[:made], -1.0]
    losses = [float(batch.sum()) for _, batch in used[:made]]
    if fails_at and slip == "not watched":
        losses[fails_at - 1] = float("nan")
    images = np.concatenate([batch for _, batch in used]).astype(float)
    return {
        "the sizes of the batches": np.array([len(batch) for _, batch in used]),
        "the images, in order": images,
        "the labels, less those of the images": np.zeros_like(images),
        "lr in each step of the optimizer": np.array(lrs),
        "the losses": np.array(losses),
    }
