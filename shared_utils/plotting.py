"""One visual style for all figures, safe for colour-blind readers; saved always, shown on request.

Matplotlib takes a second to import, so it is imported where the first figure is made.
"""

import os
import re
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path

from shared_utils.files import write_atomically

# Okabe and Ito (2008), "Color Universal Design": distinct with every common colour blindness.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SEQUENTIAL = "viridis"  # for images of one quantity
DIVERGING = "RdBu_r"  # for images of a signed quantity
MAX_BYTES = 150_000  # of a figure

_STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.max_open_warning": 0,
    "font.size": 11,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "savefig.dpi": 110,
    "text.usetex": False,
}
# What Matplotlib itself writes as formulas: the powers of ten at a logarithmic axis.
_FORMULA = re.compile(r"\$\\mathdefault\{.*\}\$")


@cache
def choose_backend() -> str:
    """Make sure that figures can be drawn, whatever MPLBACKEND says; return a line for the user.

    A notebook names its own way of drawing to every script that it starts, which may not be
    installed there. Then the figures are drawn with Agg, which needs nothing, and saved as always.
    """
    wished = os.environ.pop("MPLBACKEND", None)  # Matplotlib cannot be imported with a wrong one
    if not wished:
        return ""
    try:
        import matplotlib.pyplot as plt
    finally:
        os.environ["MPLBACKEND"] = wished
    try:
        plt.switch_backend(wished)
    except Exception as error:  # a backend is any module, and may fail in any way
        plt.switch_backend("Agg")
        reason = str(error).splitlines()[0]
        return f"figures are saved and not shown: MPLBACKEND={wished} cannot be used ({reason})"
    return ""


def new_figure(rows: int = 1, cols: int = 1, size: tuple[float, float] = (7, 4.5), **options):
    """Return a figure of `size` inches and its axes, as `matplotlib.pyplot.subplots` does."""
    choose_backend()
    import matplotlib.pyplot as plt
    from cycler import cycler

    plt.rcParams.update(_STYLE)
    plt.rcParams["axes.prop_cycle"] = cycler(color=COLORS)
    return plt.subplots(rows, cols, figsize=size, **options)


def save_figure(fig, path: Path) -> None:
    """Save `fig` as a PNG, whole or not at all."""
    write_atomically(path, render(fig))


def render(fig) -> bytes:
    """Return `fig` as a PNG, without the date: equal figures, equal bytes.

    One that would take more than MAX_BYTES gets 256 colours, which is about a third. All text is
    drawn as it is: a class may be called $100.
    """
    from PIL import Image

    _take_literally(fig)
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
        fig.savefig(buffer, format="png", metadata={"Software": None})
    if buffer.tell() > MAX_BYTES:
        image = Image.open(buffer).convert("RGB").quantize(256)
        buffer = BytesIO()
        image.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def _take_literally(fig) -> None:
    """Let no text in a figure be read as a formula but those of logarithmic axes."""
    from matplotlib.text import Text

    for ax in fig.axes:
        for axis in (ax.xaxis, ax.yaxis):
            axis.get_ticklabels(which="both")  # gives every tick its text
    for text in fig.findobj(Text):
        text.set_parse_math(bool(_FORMULA.fullmatch(text.get_text())))


def show_figures(no_show: bool) -> None:
    """Open all figures made so far and wait, where windows can be opened; then close them."""
    import matplotlib.pyplot as plt
    from matplotlib.backends import BackendFilter, backend_registry

    interactive = backend_registry.list_builtin(BackendFilter.INTERACTIVE)
    if not no_show and plt.get_backend().lower() in interactive:
        plt.show()
    plt.close("all")
