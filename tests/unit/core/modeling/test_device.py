import sys

import pytest
import torch

from core.modeling import device as module
from core.modeling.device import describe, watch_peak

CPU = torch.device("cpu")
MIB = 2**20


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_cpu_is_named_with_its_threads(threads):
    torch.set_num_threads(1)
    one = describe(CPU)
    torch.set_num_threads(2)

    assert one.kind == "cpu"
    assert one.name.endswith(", 1 threads")
    assert describe(CPU).name == one.name.replace(", 1 threads", ", 2 threads")


def test_a_device_on_which_jobs_are_computed_in_another_way_has_another_name():
    assert describe(CPU, ways=("gradient checkpointing",)).name == f"{describe(CPU).name}, gradient checkpointing"


def test_several_processes_on_a_cpu_share_its_memory():
    assert describe(CPU, count=2).name == f"{describe(CPU).name}, 2 devices"
    assert describe(CPU, count=2, memory_bytes=100).memory_bytes == 100


def test_what_the_operator_allows_goes_before_what_is_there():
    assert describe(CPU, memory_bytes=12345).memory_bytes == 12345
    assert describe(CPU).memory_bytes > 100 * MIB


@pytest.mark.parametrize(("limit", "expected"), [("1048576\n", MIB), ("max\n", None), (f"{2**62}\n", None)])
def test_a_container_has_what_it_is_given(monkeypatch, tmp_path, limit, expected):
    physical = describe(CPU).memory_bytes
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(module, "_CGROUP_LIMIT", tmp_path / "memory.max")

    assert describe(CPU).memory_bytes == (expected or physical)


def test_a_machine_that_names_no_model_is_named_by_its_architecture(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_CPU_INFO", tmp_path / "absent")

    assert describe(CPU).name.removesuffix(f", {torch.get_num_threads()} threads")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_peak_is_that_of_what_came_since():
    before = watch_peak(CPU)()
    block = bytearray(200 * MIB)
    del block
    first = watch_peak(CPU)
    second_block = bytearray(100 * MIB)
    del second_block
    peak = first()

    assert 90 * MIB < peak - before < 150 * MIB


def test_where_a_peak_cannot_be_begun_anew_it_is_not_told(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_CLEAR_REFS", tmp_path / "absent" / "clear_refs")

    assert watch_peak(CPU)() is None
