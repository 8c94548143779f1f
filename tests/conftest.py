"""Settings for all tests: no windows."""

import os

os.environ["MPLBACKEND"] = "Agg"
