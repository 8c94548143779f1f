"""Settings for all tests: no windows, and Ctrl-C as usual, which a background job ignores."""

import os
import signal

os.environ["MPLBACKEND"] = "Agg"
signal.signal(signal.SIGINT, signal.default_int_handler)
