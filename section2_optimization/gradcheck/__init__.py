"""The gradient laboratory: are the derivatives of this section correct, and does the check bite?

`check_gradients` holds a layer, loss or model against differences of its own forward pass;
`numerical_gradient` and `complex_step_gradient` measure the derivative of any function.
"""

from section2_optimization.gradcheck.checks import Check, check_gradients
from section2_optimization.gradcheck.derivatives import complex_step_gradient, numerical_gradient

__all__ = ["Check", "check_gradients", "complex_step_gradient", "numerical_gradient"]
