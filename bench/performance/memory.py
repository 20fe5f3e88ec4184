"""How much memory a call takes at its peak, on top of what is held before it."""

from collections.abc import Callable
from pathlib import Path

import torch

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def extra_bytes(action: Callable[[], object], device: torch.device) -> int:
    """Return by how many bytes the peak during one call is above what was held before.

    On a GPU those are the bytes that torch has allocated; else the resident memory of this process, as Linux counts it.
    The call should have been made before: what libraries keep for later calls would count as well. So would memory that
    the allocator keeps in small pieces; large tensors go back to the system.

    Raises:
        OSError: no GPU is asked for, and this is not Linux.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        return torch.cuda.max_memory_allocated(device) - before
    _CLEAR_REFS.write_text("5")  # the high-water mark starts again at what is resident now
    before = _resident("VmRSS")
    action()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{_STATUS} has no {field}: resident memory is read as Linux tells it")
