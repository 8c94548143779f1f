"""One visual style for all figures, safe for colour-blind readers; saved always, shown on request.

Matplotlib takes a second to import, so it is imported where the first figure is made.
"""

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
}


def new_figure(rows: int = 1, cols: int = 1, size: tuple[float, float] = (7, 4.5), **options):
    """Return a figure of `size` inches and its axes, as `matplotlib.pyplot.subplots` does."""
    import matplotlib.pyplot as plt
    from cycler import cycler

    plt.rcParams.update(_STYLE)
    plt.rcParams["axes.prop_cycle"] = cycler(color=COLORS)
    return plt.subplots(rows, cols, figsize=size, **options)


def save_figure(fig, path: Path) -> None:
    """Save `fig` as a PNG, whole or not at all, without the date: equal figures, equal bytes.

    One that would take more than MAX_BYTES is stored with 256 colours, in about a third.
    """
    from PIL import Image

    buffer = BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None})
    if buffer.tell() > MAX_BYTES:
        image = Image.open(buffer).convert("RGB").quantize(256)
        buffer = BytesIO()
        image.save(buffer, "png", optimize=True)
    write_atomically(path, buffer.getvalue())


def show_figures(no_show: bool) -> None:
    """Open all figures made so far and wait, where windows can be opened; then close them."""
    import matplotlib.pyplot as plt
    from matplotlib.backends import BackendFilter, backend_registry

    interactive = backend_registry.list_builtin(BackendFilter.INTERACTIVE)
    if not no_show and plt.get_backend().lower() in interactive:
        plt.show()
    plt.close("all")
