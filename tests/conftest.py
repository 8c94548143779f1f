"""Settings for all tests: no windows, and Ctrl-C as usual, which a background job ignores.

Every process has one thread: the arrays are small, and pytest has a process on each of the cores.
"""

import os
import signal

os.environ |= {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
signal.signal(signal.SIGINT, signal.default_int_handler)
