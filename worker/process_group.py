from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed

from core.domain.errors import WorkerUnfitError
from core.modeling.base_model import DeviceChoice, choose_device

# How long a process may wait for the others. Those of a run do the same, but the first one also writes to the database
# and the store, which may be away for a while.
_TIMEOUT = timedelta(minutes=10)


def require_devices(choice: DeviceChoice, count: int) -> None:
    """Return if this machine has so many devices. CPUs it has as many as it is told to start processes.

    Raises:
        WorkerUnfitError: there are fewer GPUs.
    """
    if choose_device(choice).type == "cuda" and torch.cuda.device_count() < count:
        raise WorkerUnfitError(f"LETHE_DEVICES is {count}, but this worker sees {torch.cuda.device_count()} GPUs")


def join(choice: DeviceChoice, *, rank: int, size: int, rendezvous: Path) -> None:
    """Make this process a member of the group, on the GPU of its rank where there are GPUs. Waits for all the others.

    They find each other by a file, for a port would be open to whoever else is on the machine.
    """
    on_gpu = choose_device(choice).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=torch.distributed.FileStore(str(rendezvous), size),  # type: ignore[attr-defined]  # documented, not exported
        rank=rank,
        world_size=size,
        timeout=_TIMEOUT,
    )
