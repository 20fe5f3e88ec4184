"""What a job computes on, and how much memory it took there."""

import os
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from core.domain.device import Device

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_CPU_INFO = Path("/proc/cpuinfo")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_RESET_PEAK = "5"  # see proc_pid_clear_refs(5)


def describe(
    device: torch.device, *, memory_bytes: int | None = None, ways: Sequence[str] = (), count: int = 1
) -> Device:
    """Return the kind, the name and the memory of a device.

    The number of threads is part of a CPU's name: what was measured with two says nothing about one. So is any other
    way of computing that takes another time or another memory.

    Args:
        device: the CPU, or a GPU.
        memory_bytes: that jobs may fill on each device, where the operator allows less than there is.
        ways: what else jobs are computed with, for the name.
        count: how many devices of this kind a job has. GPUs have their memories, processes on a CPU share one.
    """
    if count > 1:
        ways = (*ways, f"{count} devices")
    if device.type == "cuda":
        there = torch.cuda.get_device_properties(device)
        name = ", ".join([there.name, *ways])
        return Device(kind="cuda", name=name, memory_bytes=count * (memory_bytes or there.total_memory))
    name = ", ".join([_cpu_name(), f"{torch.get_num_threads()} threads", *ways])
    return Device(kind="cpu", name=name, memory_bytes=memory_bytes or _host_memory())


def watch_peak(device: torch.device) -> Callable[[], int | None]:
    """Begin to watch how much memory is taken, and return what tells the most since then, in bytes.

    On a GPU that is what tensors took, without what the allocator keeps and the context. On Linux's CPU it is what of
    this process was in memory, its libraries included; elsewhere it is None, for the peak cannot be begun anew.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return lambda: int(torch.cuda.max_memory_allocated(device))
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return lambda: None
    return _resident_peak


def _resident_peak() -> int | None:
    found = re.search(r"^VmHWM:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _cpu_name() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", _CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _host_memory() -> int:
    """Return the memory of this machine, or of this container where it is given less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdecimal() else physical
