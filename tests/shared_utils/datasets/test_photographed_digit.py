"""Pictures of digits made into digits like MNIST's."""

import re

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from shared_utils.datasets.photographed_digit import (
    BOX,
    CENTRE,
    FIELD,
    PEN_WIDTH,
    _otsu,
    make_digit,
    read_grey,
)
from shared_utils.errors import UserError
from tests.shared_utils.datasets.photos import paper, photograph, seven, with_surroundings


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell the same digit, but for its edges and for a pixel of its place, which is rounded."""
    shifts = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)]
    shifted = [np.roll(one, shift, (0, 1)).ravel() for shift in shifts]
    return max(np.corrcoef(each, other.ravel())[0, 1] for each in shifted) > 0.95


SEVEN = make_digit(seven(paper()))


def test_the_digit_fills_its_box_in_its_proportions_and_its_mass_is_centred():
    rows, cols = (np.flatnonzero(SEVEN.any(axis)) for axis in (1, 0))
    assert SEVEN.shape == (FIELD, FIELD) and SEVEN.dtype == np.float32
    assert rows[-1] - rows[0] + 1 == BOX and cols[-1] - cols[0] + 1 == BOX // 2
    places = np.arange(FIELD)
    assert abs(SEVEN.sum(1) @ places / SEVEN.sum() - CENTRE) <= 0.5
    assert abs(SEVEN.sum(0) @ places / SEVEN.sum() - CENTRE) <= 0.5
    assert SEVEN.min() == 0 and SEVEN.max() == pytest.approx(1)
    assert 0.05 < np.mean((SEVEN > 0.1) & (SEVEN < 0.9)) < 0.3  # its edges are grey


def test_place_size_and_shape_of_the_picture_do_not_matter():
    assert alike(make_digit(seven(paper(), top=75, left=10)), SEVEN)
    assert alike(make_digit(seven(paper(400, 500), 150, 250, 240, 32)), SEVEN)
    assert alike(make_digit(seven(paper(500, 200), top=350)), SEVEN)


@pytest.mark.parametrize("paper_level, ink", [(230, 40), (40, 230), (150, 100), (90, 130)])
def test_dark_on_light_or_light_on_dark_is_told_by_itself(paper_level, ink):
    assert alike(make_digit(seven(paper(level=paper_level), ink=ink)), SEVEN)


def test_uneven_light_and_a_shadow_do_not_matter():
    y, x = np.mgrid[0 : 1 : 200 * 1j, 0 : 1 : 300 * 1j]
    for light in (0.3 + 0.7 * x, 1 - 0.3 * (x**2 + y**2), 0.5 + 0.5 / (1 + np.exp(20 * (x - 0.4)))):
        assert alike(make_digit(seven(paper()) * light), SEVEN)


def test_what_touches_the_rim_is_not_of_the_digit():
    for name, grey in with_surroundings(seven(paper())):
        assert alike(make_digit(grey), SEVEN), name
        assert alike(make_digit(255 - grey), SEVEN), f"{name}, as a negative"


def test_what_hangs_on_the_rim_by_corners_alone_goes_as_a_whole():
    grey = np.full((140, 140), 230, np.float32)
    grey[40:100, 20:36] = 40
    lined = grey.copy()
    for start in range(0, 64, 8):  # squares, down and to the left
        lined[start : start + 8, 132 - start : 140 - start] = 40
    assert np.array_equal(make_digit(lined), make_digit(grey))


def test_a_digit_that_reaches_to_the_rim_is_taken_as_it_is():
    grey = seven(paper())
    assert alike(make_digit(grey[40:160, 90:150]), SEVEN)
    assert alike(make_digit(grey[40:]), SEVEN)
    specks = grey[40:].copy()  # too short to be the digit
    specks[20:26, 200:206] = 40
    assert alike(make_digit(specks), SEVEN)


def test_specks_are_left_out_and_separate_strokes_stay():
    specks = seven(paper())
    for row, col in ((10, 10), (20, 250), (150, 200), (180, 30)):
        specks[row : row + 6, col : col + 6] = 20
    assert alike(make_digit(specks), SEVEN)
    broken = seven(paper())
    broken[130:138] = 230
    assert alike(make_digit(broken), SEVEN)


def test_pixels_that_touch_at_a_corner_are_one_stroke():
    grey = paper(140, 140)
    grey[20:36, 50:110] = 40
    steps = np.arange(75)
    grey[36 + steps, 100 - steps] = 40
    rows = np.flatnonzero(make_digit(grey).any(1))
    assert rows[-1] - rows[0] + 1 == BOX
    assert make_digit(grey)[rows[-1] - 3].any()


def test_a_thin_pen_writes_strokes_as_wide_as_mnists():
    thin = make_digit(seven(paper(600, 600), 100, 200, 400, pen=3))
    across = thin[CENTRE].sum()  # the ink of one row through the slanted stroke
    assert PEN_WIDTH * 0.7 < across < PEN_WIDTH * 1.7


def test_a_digit_of_mnist_stays_as_it_is():
    digit = (255 * SEVEN).astype(np.uint8)
    np.testing.assert_array_equal(make_digit(digit), digit / np.float32(255))
    assert alike(make_digit(255 - digit), SEVEN)  # as a negative, it is made again


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_without_ink_is_refused(level):
    noise = np.random.default_rng(0).normal(0, 3, (100, 100))
    for grey in (paper(level=level), paper(50, 1, level), (level + noise).clip(0, 255)):
        with pytest.raises(UserError, match="no digit"):
            make_digit(grey)


def test_otsus_threshold_is_that_of_the_exhaustive_search():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(60, 15, 900), rng.normal(170, 20, 100)]).round()
    spread = {}  # of the values around the mean of their side, for every threshold
    for threshold in range(30, 200):
        sides = values[values <= threshold], values[values > threshold]
        spread[threshold] = sum(len(side) * side.var() for side in sides)
    assert _otsu(values) == pytest.approx(min(spread, key=spread.get), abs=2)


def test_every_kind_of_picture_is_read_upright_on_white(tmp_path):
    grey = seven(paper()).astype(np.uint8)
    picture = Image.fromarray(grey)
    drawing = Image.fromarray(np.stack([0 * grey, 255 - grey], -1), "LA")  # in its alpha alone
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    pictures = {
        "grey.png": picture,
        "sixteen.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "colour.jpg": picture.convert("RGB"),
        "cmyk.jpg": picture.convert("CMYK"),
        "palette.gif": picture.convert("P"),
        "one-bit.png": picture.convert("1", dither=Image.Dither.NONE),
        "alpha.png": drawing,
        "alpha.webp": drawing.convert("RGBA"),
    }
    for name, image in pictures.items():
        image.save(tmp_path / name)
    turned.save(tmp_path / "turned.jpg", exif=exif)
    for path in tmp_path.iterdir():
        read = read_grey(path)
        assert read.shape == grey.shape and read.dtype == np.float32, path.name
        assert alike(make_digit(read), SEVEN), path.name
    assert np.array_equal(read_grey(tmp_path / "grey.png"), grey)
    assert np.array_equal(read_grey(tmp_path / "sixteen.png"), grey)


def test_what_is_no_picture_is_named(tmp_path):
    whole = photograph((255 * SEVEN).astype(np.uint8), np.random.default_rng(0))
    for name, content in {"text.png": b"hello", "empty.jpg": b"", "half.jpg": whole[:900]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=re.escape(name)):
            read_grey(tmp_path / name)


def test_photographs_of_digits_are_recognised_as_the_digits_were(tmp_path):
    images, labels = load_digits(return_X_y=True)
    enlarged = zoom(images.reshape(-1, 8, 8) * (255 / 16), (1, 2.5, 2.5), order=1).round()
    digits = 255 - np.pad(enlarged.astype(np.uint8), ((0, 0), (4, 4), (4, 4)))
    known = np.stack([make_digit(digit).ravel() for digit in digits[:700]])
    known /= np.linalg.norm(known, axis=1, keepdims=True)

    def correct(pictures) -> int:
        nearest = [(known @ make_digit(picture).ravel()).argmax() for picture in pictures]
        return int(np.sum(labels[nearest] == labels[700:770]))

    rng, path, photos = np.random.default_rng(0), tmp_path / "photo.jpg", []
    for digit in digits[700:770]:
        path.write_bytes(photograph(255 - digit, rng))
        photos.append(read_grey(path))
    assert correct(photos) >= correct(digits[700:770]) - 2 >= 60
