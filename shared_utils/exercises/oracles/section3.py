"""The right answers of Section 3, and what the classic slips give in their place."""

from functools import partial
from types import SimpleNamespace

import numpy as np

from shared_utils.exercises.oracles.common import after_another, gradient, rng, same
from shared_utils.exercises.table import Broken, lesson

Pair = tuple[int, int]
IMAGE = (40, 48)  # height and width, of the receptive fields
STEPS = ("padding swapped", "stride swapped", "no stride")  # with the right number of windows, or
# with as many as follow: ", shape"
ORDERS = {"pixels first": "ijcnrq", "images last": "cijrqn", "width first": "cjinrq"}


def ask_fields(windows) -> dict:
    """Ask for the fields of a chain of layers, given as (layer, kernel, stride, padding).

    Behind each convolution comes a ReLU, which has no window.
    """
    layers, fields = lesson("section3_cnn.layers"), lesson("section3_cnn.study.fields")
    chain = []
    for layer, kernel, stride, padding in windows:
        if layer == "conv":
            convolution = layers.Conv2D(1, 1, kernel, stride, padding, rng=rng(0))
            chain += [convolution, layers.ReLU()]
        else:
            chain.append(layers.MaxPool2D(kernel, stride))
    model = lesson("section3_cnn.model").Sequential(chain)
    found = fields.receptive_fields(model, (1, *IMAGE))
    names = ("size", "jump", "start", "units")
    return {name: np.array([getattr(field, name) for field in found]) for name in names}


def fields(windows, slip: str = "") -> dict:
    """Follow units 0 and 1 of each layer down to the pixels; the slips follow the recurrences."""
    if slip == "swapped":
        return {name: rows[:, ::-1] for name, rows in fields(windows).items()}
    if slip:
        return fields_by_recurrence(windows, slip)
    found, units = {"size": [], "jump": [], "start": [], "units": []}, np.array(IMAGE)
    for depth in range(1, len(windows) + 1):
        first, last, second = (np.array([u, u]) for u in (0, 0, 1))
        for _, kernel, stride, padding in reversed(windows[:depth]):
            first, second = (u * np.array(stride) - padding for u in (first, second))
            last = last * stride - padding + np.array(kernel) - 1
        found["size"].append(last - first + 1)
        found["jump"].append(second - first)
        found["start"].append(first)
        _, kernel, stride, padding = windows[depth - 1]
        units = (units + 2 * np.array(padding) - kernel) // stride + 1
        found["units"].append(units)
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


def named(*cases: dict) -> dict[str, dict]:
    """Return the cases by a name that says all of their shapes, so that one can be built again."""
    return {
        ", ".join(
            f"{name} {value.shape if isinstance(value, np.ndarray) else value}"
            + (" float32" if getattr(value, "dtype", None) == np.float32 else "")
            for name, value in case.items()
            if name not in ("b", "dcols", "grad_out")
        ): case
        for case in cases
    }


def windows_of(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, slip: str = ""
) -> np.ndarray:
    """Return all windows of images, (N, C, height, width, kh, kw)."""
    height, width = (
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(x.shape[2:], padding, kernel, stride, strict=True)
    )
    slip, _, shape = slip.partition(", ")
    (ph, pw) = {"padding swapped": padding[::-1], "no padding": (0, 0)}.get(slip, padding)
    (sh, sw) = {"stride swapped": stride[::-1], "no stride": (1, 1)}.get(slip, stride)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    every = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    every = every[:, :, ::sh, ::sw]
    if slip in STEPS and not shape:
        every = every[:, :, :height, :width]
    if slip == "one too few":
        every = every[:, :, :-1, :-1]
    return every[..., ::-1, ::-1] if slip == "flipped" else every


def convolve(x, W, b, stride, padding, slip: str = "") -> dict:
    """y = W . window + b, by one einsum over all windows."""
    windows = windows_of(x, W.shape[2:], stride, padding, slip)
    if slip == "one channel":
        windows, W = windows[:, -1:], W[:, -1:]
    y = np.einsum("ocij,ncrqij->norq", W, windows)
    return {"y": y if slip == "no bias" else y + b[:, None, None]}


def columns(
    seed: int, x: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair, dtype=np.float64
) -> dict:
    """Return a case of im2col and col2im."""
    draw = rng(seed)
    x = draw.normal(size=x).astype(dtype)
    dcols = draw.normal(size=im2col(x, kernel, stride, padding).shape).astype(dtype)
    return {"x": x, "dcols": dcols, "kernel": kernel, "stride": stride, "padding": padding}


def im2col(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, slip="") -> np.ndarray:
    """Return the windows as columns."""
    windows = windows_of(x, kernel, stride, padding, slip)
    laid_out = np.einsum(f"ncrqij->{ORDERS.get(slip, 'cijnrq')}", windows)
    return laid_out.reshape(np.prod(laid_out.shape[:3]), -1)


def ask_columns(x, dcols, kernel, stride, padding) -> dict:
    """Ask for the columns of x, and for the images that dcols goes back to."""
    textbook, window = lesson("section3_cnn.layers.textbook"), (kernel, stride, padding)
    return {
        "cols": partial(textbook.im2col, x, *window),
        "dx": partial(textbook.col2im, dcols, x.shape, *window),
    }


def columns_oracle(x, dcols, kernel, stride, padding, slip: str = "") -> dict:
    """im2col by einsum, and col2im, which is its transpose."""
    window = kernel, stride, padding
    if slip == "not cut":
        (ph, pw), window = padding, (kernel, stride, (0, 0))
        x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    cols = im2col(x, *window, slip)
    if cols.shape != dcols.shape:
        return {"cols": cols}
    return {"cols": cols, "dx": col2im(dcols, x.shape, *window, slip)}


def col2im(
    dcols: np.ndarray, shape: tuple[int, ...], kernel, stride, padding, slip=""
) -> np.ndarray:
    """Number the pixels from 1 (0: padding), see which each entry is a copy of, and add up."""
    size = int(np.prod(shape))
    sources = im2col(np.arange(1, size + 1).reshape(shape), kernel, stride, padding, slip)
    if slip.startswith("last"):  # the entry that comes last wins
        order, dx = "C" if slip == "last pixel" else "F", np.zeros(size + 1)
        for source, value in zip(sources.ravel(order), dcols.ravel(order), strict=True):
            dx[source] = value
    else:
        dx = np.bincount(sources.ravel(), dcols.ravel(), size + 1)
    return dx[1:].reshape(shape).astype(dcols.dtype)


def ask_convolution(x, W, b, stride, padding, grad_out) -> dict:
    """Ask the textbook's layer with these weights for its gradients, after those of a batch."""
    layer = lesson("section3_cnn.layers").TextbookConv2D(
        W.shape[1], W.shape[0], W.shape[2:], stride, padding, rng=rng(0), dtype=np.float64
    )
    layer.params, arrays = {"W": W, "b": b}, dict(layer.grads)
    layer.forward(2 * x)
    layer.backward(grad_out)
    layer.forward(x)
    dx = layer.backward(grad_out)
    if any(layer.grads[key] is not array for key, array in arrays.items()):
        raise Broken(
            "grads[...] is a new array, but the network holds the old one: write into it,"
            " with [:] ="
        )
    return {"dx": dx, "dW": layer.grads["W"], "db": layer.grads["b"]}


def convolution_promises() -> None:
    """None in place of dx, where it is not needed."""
    layer = lesson("section3_cnn.layers").TextbookConv2D(1, 2, (1, 2), rng=rng(0))
    layer.needs_input_grad = False
    if layer.backward(np.ones_like(layer.forward(np.ones((1, 1, 2, 3))))) is not None:
        raise Broken("where self.needs_input_grad is false, the docstring promises None")


def with_dy(case: dict) -> dict:
    """Return a case of a convolution with a dLoss/dy as well."""
    return case | {"grad_out": rng(9).normal(size=convolve(**case)["y"].shape)}


@after_another
def convolution_gradients(x, W, b, stride, padding, grad_out, slip: str = "") -> dict:
    """Measure them; y is linear in x, W and b, so a difference over any distance is exact."""
    if slip == "no swap":  # (N, O, height, width) read as (O, N height width)
        rows, window = grad_out.reshape(len(W), -1), (W.shape[2:], stride, padding)
        dcols = W.reshape(len(W), -1).T @ rows
        return {
            "dx": col2im(dcols, x.shape, *window),
            "dW": (rows @ im2col(x, *window).T).reshape(W.shape),
            "db": rows.sum(axis=1),
        }

    def loss(x=x, W=W, b=b) -> float:
        return float(np.vdot(grad_out, convolve(x, W, b, stride, padding)["y"]))

    filters = W[:, :, ::-1, ::-1] if slip == "flipped" else W
    return {
        "dx": gradient(lambda v: loss(x=v, W=filters), x, eps=1.0),
        "dW": gradient(lambda v: loss(W=v), W, eps=1.0),
        "db": gradient(lambda v: loss(b=v), b, eps=1.0)
        / (grad_out[:, 0].size if slip == "mean" else 1),
    }


def ask_pool(x, grad_out, kernel, stride) -> dict:
    """Ask max-pooling for its gradient."""
    layer = lesson("section3_cnn.layers").MaxPool2D(kernel, stride)
    layer.forward(x)
    return {"dx": layer.backward(grad_out)}


def pool_gradient(x, grad_out, kernel, stride, slip: str = "") -> dict:
    """Window by window: grad_out goes to the first of the largest pixels, and adds up."""
    dx, (kh, kw), (sh, sw) = np.zeros_like(x), kernel, stride
    if slip == "stride swapped":
        sh, sw = sw, sh
    for n, c, r, q in np.ndindex(grad_out.shape):
        here = n, c, slice(r * sh, r * sh + kh), slice(q * sw, q * sw + kw)
        window = x[here]
        if window.shape != (kh, kw):  # a slip has led beyond the image
            return {}
        grad, dy = np.zeros((kh, kw)), grad_out[n, c, r, q]
        place = kh * kw - 1 - window[::-1, ::-1].argmax() if slip == "last" else window.argmax()
        grad.flat[place] = dy
        if slip in ("all equal", "everywhere", "average"):
            grad[:] = dy * (window == window.max() if slip == "all equal" else 1)
            grad /= kh * kw if slip == "average" else 1
        dx[here] = np.where(grad != 0, grad, dx[here]) if slip == "overwritten" else dx[here] + grad
    return {"dx": dx}


def ask_loop(n, epochs, batch_size, lr, first_step, fails_at, augments) -> dict:
    """Ask the loop what it does: network, loss and optimizer are dummies that write it down.

    An image is its own number, and 100 more when augmented, a label ten times that; the loss is the
    sum of a batch.
    """
    seen, labels, steps = [], [], []
    model = SimpleNamespace(params={"W": np.zeros(1)}, grads={"W": np.zeros(1)})
    optimizer = SimpleNamespace(lr=lr, step=lambda params, grads: steps.append(optimizer.lr))

    def compute_gradients(model, images: np.ndarray, y: np.ndarray) -> float:
        seen.append(images)
        labels.append(y)
        return float("nan") if len(seen) == fails_at else float(images.sum())

    training, draws = lesson("section3_cnn.training"), rng(2)
    settings = training.Settings(
        epochs,
        batch_size,
        lr,
        schedule="cosine",
        augment=(lambda images, given: images + 100 * (given is draws)) if augments else None,
    )
    x, losses = np.arange(n, dtype=float), []
    options = {"shuffle": rng(1), "draws": draws, "first_step": first_step}
    options["compute_gradients"] = compute_gradients
    try:
        for loss in training.train_steps(model, optimizer, x, 10 * x, settings, **options):
            losses.append(loss)
    except FloatingPointError as error:
        steps.append(-1.0)
        if f"epoch {epochs}" not in str(error):
            raise Broken(f"the error must name the epoch, 'epoch {epochs}' in this case") from error
    same(np.arange(n), x, "x")
    images = np.concatenate(seen)
    return {
        "the sizes of the batches": np.array([len(batch) for batch in seen]),
        "the images, in order": images,
        "the labels, less those of the images": np.concatenate(labels)
        - 10 * (images - 100 * augments),
        "lr in each step of the optimizer": np.array(steps),
        "the losses": np.array(losses),
    }


def loop(n, epochs, batch_size, lr, first_step, fails_at, augments, slip: str = "") -> dict:
    """Write down what the loop should do."""
    draw = rng(1)
    orders = [draw.permutation(n) for _ in range(epochs)]
    orders = {"one order": orders[:1] * epochs, "in order": [np.arange(n)] * epochs}.get(
        slip, orders
    )
    orders = [order + 100 * (augments and slip != "not augmented") for order in orders]
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
        "the labels, less those of the images": np.zeros_like(images)
        - 1000 * (augments and slip == "not augmented"),
        "lr in each step of the optimizer": np.array(lrs),
        "the losses": np.array(losses),
    }
