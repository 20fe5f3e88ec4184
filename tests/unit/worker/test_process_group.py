import pytest
import torch

from core.domain.errors import WorkerUnfitError
from worker.process_group import require_devices


def test_cpus_are_as_many_as_processes_are_started():
    require_devices("cpu", 8)


def test_worker_with_fewer_gpus_than_its_settings_say_is_unfit(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    require_devices("cuda", 2)
    with pytest.raises(WorkerUnfitError, match="LETHE_DEVICES is 3, but this worker sees 2 GPUs"):
        require_devices("auto", 3)
