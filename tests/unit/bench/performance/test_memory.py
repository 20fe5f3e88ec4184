import sys

import pytest
import torch

from bench.performance.memory import extra_bytes

CPU, MEBIBYTE = torch.device("cpu"), 1 << 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read as Linux tells it")


@linux
def test_peak_of_a_call_counts_though_it_is_freed():
    held = torch.ones(64 * MEBIBYTE // 4)  # before, so it does not count
    assert 120 < extra_bytes(lambda: held * 2 + 1, CPU) / MEBIBYTE < 140


@linux
def test_earlier_and_higher_peak_does_not_count():
    torch.ones(128 * MEBIBYTE // 4)
    assert extra_bytes(lambda: torch.ones(48 * MEBIBYTE // 4), CPU) / MEBIBYTE < 60
