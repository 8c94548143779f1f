"""Three ways to measure a derivative without deriving anything.

A derivative is a limit, and a computer has no limits: eps must stay finite. What is left out of the
Taylor series (truncation) falls with eps, while the rounding of f, of the order u |f| with
u = 2.2e-16, is divided by eps and grows:

    forward        (f(x + eps) - f(x)) / eps                error ~ eps        + u / eps
    central        (f(x + eps) - f(x - eps)) / (2 eps)      error ~ eps^2      + u / eps
    complex step   Im f(x + i eps) / eps                    error ~ eps^2

So forward differences are best near eps = sqrt(u) = 1e-8, with half of the digits, and central
ones near u^(1/3) = 6e-6, with two thirds. The complex step subtracts nothing, so nothing cancels:
eps may be 1e-20 and all digits are right. It asks for an f that is analytic and computed so: no
absolute values, no kinks, no conversion to real numbers.

Sources: Press et al. (2007), "Numerical recipes", section 5.7; Squire and Trapp (1998), "Using
complex variables to estimate derivatives of real functions".
"""

from collections.abc import Callable

import numpy as np


def numerical_gradient(
    f: Callable[[np.ndarray], float], x: np.ndarray, eps: float = 1e-5
) -> np.ndarray:
    """Return df/dx by central differences, in the shape of x.

    `f` takes an array like x and returns one number. It is called twice an element, in C order,
    with x + eps first: a caller that watches f can tell which calls belong to which element.
    Raises ValueError for eps <= 0 and for an x that is not float64, where rounding would drown all.
    """
    _check(x, eps)

    def difference(shifted, value, at):
        shifted[at] = value + eps
        plus = f(shifted)
        shifted[at] = value - eps
        return (plus - f(shifted)) / (2 * eps)

    return _element_by_element(difference, x.copy())


def forward_gradient(
    f: Callable[[np.ndarray], float], x: np.ndarray, eps: float = 1e-8
) -> np.ndarray:
    """Return df/dx by forward differences: one call an element and one more, and half the digits.

    Raises ValueError as `numerical_gradient` does.
    """
    _check(x, eps)
    here = f(x.copy())

    def difference(shifted, value, at):
        shifted[at] = value + eps
        return (f(shifted) - here) / eps

    return _element_by_element(difference, x.copy())


def complex_step_gradient(
    f: Callable[[np.ndarray], complex], x: np.ndarray, eps: float = 1e-20
) -> np.ndarray:
    """Return df/dx by complex steps, exact to rounding where f is analytic.

    `f` takes a complex array and returns a complex number. Raises ValueError as
    `numerical_gradient` does, and when f returns a real number: then it lost the imaginary part.
    """
    _check(x, eps)

    def difference(shifted, value, at):
        shifted[at] = value + 1j * eps
        result = f(shifted)
        if not isinstance(result, complex | np.complexfloating):
            raise ValueError(f"f returned {result!r}: complex steps need an f that stays complex")
        return result.imag / eps

    return _element_by_element(difference, x.astype(complex))


def _element_by_element(difference, shifted: np.ndarray) -> np.ndarray:
    grad = np.empty(shifted.shape)
    for at in np.ndindex(shifted.shape):
        value = shifted[at]
        grad[at] = difference(shifted, value, at)
        shifted[at] = value
    return grad


def _check(x: np.ndarray, eps: float) -> None:
    if not eps > 0:
        raise ValueError(f"eps must be above 0, not {eps}")
    if x.dtype != np.float64:
        raise ValueError(f"x must be float64, not {x.dtype}: rounding would drown the difference")
