"""From a file to a square of bytes: turned, scaled, on white, or refused with the cause."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from shared_utils.datasets.decode import DamagedImageError, decode, without_warnings
from tests.shared_utils.datasets.helpers import RNG, picture


def test_an_image_is_its_middle_square_in_rgb(tmp_path):
    pixels = picture(tmp_path / "0.png", (10, 8))
    np.testing.assert_array_equal(decode(tmp_path / "0.png", 8), pixels[:, 1:9].transpose(2, 0, 1))
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(gray).save(tmp_path / "1.png")
    np.testing.assert_array_equal(decode(tmp_path / "1.png", 8), np.stack([gray] * 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_as_the_camera_says(tmp_path, orientation):
    pixels = RNG.integers(256, size=(8, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    upright = {  # the EXIF standard: where row 0 and column 0 of the file are in the scene
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels),
    }[orientation]
    np.testing.assert_array_equal(decode(tmp_path / "turned.png", 8), upright.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("suffix", "exif"),
    [("jpg", b"Exif\0\0MM\0*\xff\xff\xff\xff\x12\x34"), ("png", b"Exif\0\0no header at all")],
)
def test_exif_that_cannot_be_read_is_ignored(tmp_path, suffix, exif):
    path = tmp_path / f"broken.{suffix}"
    Image.new("RGB", (8, 8), "red").save(path, exif=exif)
    with without_warnings():
        assert decode(path, 8)[0].min() > 250


def drawn_in_alpha(mode):
    """A black square whose upper half is opaque and whose lower half is not."""
    image = Image.new("LA" if mode == "LA" else "RGBA", (8, 8), (0,) * (2 if mode == "LA" else 4))
    alpha = np.zeros((8, 8), np.uint8)
    alpha[:4] = 255
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        palette = Image.fromarray((alpha > 0).astype(np.uint8))
        palette.putpalette([0, 0, 0, 0, 0, 0])
        palette.info["transparency"] = 0
        return palette
    return image


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGBA", "png"), ("LA", "png"), ("P", "png"), ("P", "gif"), ("RGBA", "webp"), ("RGBA", "tif")],
)
def test_transparent_parts_lie_on_white(tmp_path, mode, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    drawn_in_alpha(mode).save(tmp_path / f"x.{suffix}", **options)
    found = decode(tmp_path / f"x.{suffix}", 8)
    assert (found[:, :4] == 0).all() and (found[:, 4:] == 255).all()


def test_a_color_that_stands_for_transparent_is_white(tmp_path):
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "x.png", transparency=(1, 2, 3))
    assert (decode(tmp_path / "x.png", 8) == 255).all()


@pytest.mark.parametrize(("mode", "color"), [("CMYK", (0, 0, 0, 0)), ("1", 1), ("L", 255)])
def test_every_mode_of_white_is_white(tmp_path, mode, color):
    Image.new(mode, (9, 9), color).save(tmp_path / "x.tif")
    assert (decode(tmp_path / "x.tif", 4) == 255).all()


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    first, second = (Image.new("L", (8, 8), shade) for shade in (10, 200))
    first.save(tmp_path / "x.gif", save_all=True, append_images=[second])
    assert (decode(tmp_path / "x.gif", 4) == 10).all()


def test_16_bit_greys_are_scaled_and_32_bit_ones_refused(tmp_path):
    gray = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    for name in ("gray.png", "gray.tif"):
        Image.fromarray(gray).save(tmp_path / name)
        np.testing.assert_array_equal(decode(tmp_path / name, 8), np.stack([gray // 256] * 3))
    (tmp_path / "x.pgm").write_bytes(b"P5 8 8 65535\n" + gray.astype(">u2").tobytes())
    np.testing.assert_array_equal(decode(tmp_path / "x.pgm", 8), np.stack([gray // 256] * 3))
    for mode, dtype in (("F", np.float32), ("I", np.int32)):
        Image.fromarray(gray.astype(dtype)).save(tmp_path / f"{mode}.tif")
        with pytest.raises(DamagedImageError, match=rf"pixels of 32 bits \(mode {mode}\)"):
            decode(tmp_path / f"{mode}.tif", 8)


def test_large_photographs_are_read_at_a_fraction_of_their_size(tmp_path, monkeypatch):
    y, x = np.mgrid[:480, :640]
    smooth = np.stack([x / 640, y / 480, (x + y) / 1120], -1) * 255
    Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / "x.jpg", quality=95)
    found, sizes = decode(tmp_path / "x.jpg", 32), []
    monkeypatch.setattr(
        Image.Image,
        "convert",
        lambda self, mode, to=Image.Image.convert: sizes.append(self.size) or to(self, mode),
    )
    decode(tmp_path / "x.jpg", 32)
    assert sizes == [(160, 120)]  # a quarter: still twice what is needed
    square = smooth[:, 80:560].reshape(32, 15, 32, 15, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(found - square).max() < 8


def encoded(kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(256, size=(40, 40, 3), dtype=np.uint8)).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"Dear reader, this is no picture.", "is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
        (encoded("jpeg")[:500], "cannot be read"),
        (encoded("png")[:500], "cannot be read"),
        (encoded("png")[:60] + b"\xff" * 99 + encoded("png")[159:], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_cause(tmp_path, content, cause):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(DamagedImageError, match=cause) as caught:
        decode(tmp_path / "x.jpg", 8)
    assert "\n" not in str(caught.value)


def test_links_to_nothing_are_reported(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.png").symlink_to("self.png")
    with pytest.raises(DamagedImageError, match=r"^is gone$"):
        decode(tmp_path / "removed.png", 8)
    with pytest.raises(DamagedImageError, match="a link to a file that is not there"):
        decode(tmp_path / "gone.png", 8)
    with pytest.raises(DamagedImageError, match="cannot be read"):
        decode(tmp_path / "self.png", 8)


def test_too_many_pixels_are_refused_and_many_are_read_in_silence(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (15, 14)).save(tmp_path / "x.png")
    with pytest.raises(DamagedImageError, match="more than 200 pixels, the limit"):
        decode(tmp_path / "x.png", 8)
    Image.new("L", (15, 10)).save(tmp_path / "y.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with without_warnings():
            assert decode(tmp_path / "y.png", 8).shape == (3, 8, 8)
