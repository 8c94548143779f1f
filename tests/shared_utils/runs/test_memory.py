import numpy as np

from shared_utils.runs.memory import peak_memory_mib


def test_peak_memory_is_in_mebibytes():
    before = peak_memory_mib()
    block = np.ones(2**23)  # 64 MiB, above whatever is held now
    while peak_memory_mib() < before + 32:
        block = np.concatenate([block, block])
    assert before < peak_memory_mib() < 2**16
