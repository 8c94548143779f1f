"""From an image file to a square of bytes, whatever the file holds.

Cameras store a photograph as it fell on the sensor and write beside it how to turn it; drawings may
be transparent; microscopes save 16 bits. Each would be learned wrongly, and without a word, if it
were only converted to RGB. A file that cannot be read is reported with the cause.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

VERSION = 3  # of what `decode` makes of a file: arrays of an earlier version are made again

_COMMON = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # tried first: each try takes time
# Stubs that need another program, and page descriptions, which are programs themselves.
_NO_IMAGES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


class DamagedImageError(Exception):
    """A file that cannot be read as an image; the text says why."""


@cache
def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of the images that Pillow can read here, such as ".jpg", lower case."""
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in _formats())


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence Pillow's warnings: of images of 90 megapixels and more, of damaged EXIF.

    What matters of it is an error: images of more than 179 megapixels are refused.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def decode(path: Path, size: int) -> np.ndarray:
    """Return the middle square of the image at `path`, scaled to (3, size, size), RGB, uint8.

    Raises DamagedImageError.
    """
    from PIL import Image, ImageOps

    rgb = read_picture(path, 2 * size)
    if rgb.size != (size, size):
        rgb = ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb).transpose(2, 0, 1)


def read_picture(path: Path, enough: int | None = None):
    """Return the image at `path` as a PIL image in RGB.

    It is turned as its camera says (EXIF), 16-bit greys are scaled, transparent parts lie on white,
    and of an animation the first picture is taken. It may be shrunk as long as each side keeps
    `enough` pixels, which saves time. Raises DamagedImageError.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if path.stat().st_size == 0:
            raise DamagedImageError("is empty")
        with Image.open(path, formats=_formats()) as image:
            if enough:
                # A JPEG is stored as 8x8 waves: half, a quarter or an eighth of its size costs a
                # fraction.
                image.draft(None, (enough, enough))
            image.load()
            try:
                ImageOps.exif_transpose(image, in_place=True)
            except MemoryError:
                raise
            except Exception:  # damaged EXIF can raise nearly anything, and the pixels are whole
                pass
            return _on_white(image)
    except (DamagedImageError, MemoryError):
        raise
    except FileNotFoundError as error:
        what = "is a link to a file that is not there" if path.is_symlink() else "is gone"
        raise DamagedImageError(what) from error
    except UnidentifiedImageError as error:
        raise DamagedImageError("is not an image that can be read") from error
    except Image.DecompressionBombError as error:
        raise DamagedImageError(
            f"has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels, the limit: make it smaller"
        ) from error
    except Exception as error:  # a damaged image can raise nearly anything
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DamagedImageError(f"cannot be read ({text.splitlines()[0]})") from error


def _on_white(image):
    """Return an image in RGB, its transparent parts white."""
    from PIL import Image

    # 16 bits that Pillow holds as 32: of PGM always, of PNG before version 11.
    widened = image.mode == "I" and image.format in ("PNG", "PPM")
    if image.mode.startswith("I;16") or widened:  # `convert` would clip all above 255 to white
        return Image.fromarray((np.asarray(image) // 256).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise DamagedImageError(
            f"has pixels of 32 bits (mode {image.mode}), of unknown range: save it with 8"
            " or 16 bits"
        )
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":  # the only mode of these that has no direct way to RGBA
        image = image.convert("LA")
    picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


@cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    rare = sorted(set(Image.OPEN) - _NO_IMAGES - set(_COMMON))
    return tuple(kind for kind in (*_COMMON, *rare) if kind in Image.OPEN)
