"""Settings for all tests: no windows, and Ctrl-C as usual, which a background job ignores.

Each test has one core: the arrays are small, and pytest has a process on every core.
"""

import os
import signal

os.environ |= {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
signal.signal(signal.SIGINT, signal.default_int_handler)
