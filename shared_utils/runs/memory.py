"""The most memory that the process ever held, where the system tells."""

import sys


def peak_memory_mib() -> float | None:
    """Return this process's peak in MiB; None on Windows, which has no `resource`."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes; on macOS, bytes
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
