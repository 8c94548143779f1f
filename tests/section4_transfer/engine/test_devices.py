import pytest
import torch

from section4_transfer.engine.devices import (
    choose_device,
    choose_precision,
    crowded,
    memory_errors,
)
from section4_transfer.engine.runtime import init_runtime
from shared_utils.errors import UserError


def test_an_absent_device_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    for name in ("cuda", "mps"):
        with pytest.raises(UserError, match=f"--device {name}"):
            choose_device(name)


@pytest.mark.parametrize("unit", ["avx512_bf16", "amx_bf16"])
def test_the_cpu_gets_bf16_only_where_it_has_units(monkeypatch, unit):
    cpu = torch.device("cpu")
    for there, precision in ((True, "bf16"), (False, "fp32")):
        has = {unit: there}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has, raising=False)
        assert choose_precision("auto", cpu) == precision
        assert choose_precision("fp32", cpu) == "fp32"
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older PyTorch
    assert choose_precision("auto", cpu) == "fp32"


def test_several_processes_do_without_mps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("mps") == torch.device("mps")
    assert choose_device("auto", 1, 2) == torch.device("cpu")
    with pytest.raises(UserError, match="leave torchrun out"):
        choose_device("mps", 1, 2)


def test_running_out_of_memory_names_the_batch_size_to_try():
    for words in ("CUDA out of memory. Tried to", "MPS backend out of memory (MPS allocated"):
        with pytest.raises(UserError, match="out of memory: try less"), memory_errors("less"):
            raise RuntimeError(words)
    with pytest.raises(UserError, match="try less"), memory_errors("less"):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shape"), memory_errors("less"):
        raise RuntimeError("shape mismatch")


@pytest.mark.parametrize(("all_of_them", "says"), [(1.4, False), (1.6, True)])
def test_cores_are_crowded_when_one_thread_is_clearly_faster_than_all(all_of_them, says):
    cost, now, before = {1: 1.0, 2: all_of_them}, [0.0], torch.get_num_threads()

    def clock():
        now[0] += cost[torch.get_num_threads()]
        return now[0]

    try:
        torch.set_num_threads(2)
        assert crowded(clock) == says and torch.get_num_threads() == 2
        with init_runtime("cpu", "fp32", threads=1):
            assert torch.get_num_threads() == 1
            assert not crowded(clock) and now[0] == pytest.approx(6 * (1 + all_of_them))
    finally:
        torch.set_num_threads(before)
