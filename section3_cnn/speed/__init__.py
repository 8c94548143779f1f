"""What makes the lesson fast, and what it is measured against.

`data_parallel.py` has every core work on a batch; `naive.py` is the usual slow network; `cost.py`
counts operations and times layers.
"""

from section3_cnn.speed.data_parallel import Workers

__all__ = ["Workers"]
