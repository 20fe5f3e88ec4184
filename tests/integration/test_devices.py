"""A base model spread over two processes, by the real worker, against the same job in one."""

import io
import json
import os
import signal
import subprocess
import sys
import zipfile

import psutil
import pytest
import torch
from safetensors.torch import load

from core.domain.catalog import LokuOptions
from core.domain.states import JobState
from core.jobs.submit import publish
from core.modeling.base_model import weights_digest
from tests.fakes.examples import a_base_model, a_job, a_request, an_event, an_item_set
from tests.fakes.tiny_models import ARCHITECTURES, byte_tokenizer, tiny_model
from tests.integration.stack import ROOT, are_gone, wait_until
from worker.composition import utc_now

METHOD = LokuOptions(r=4, batch_size=4, max_steps=6, early_stopping=False)


def test_gradients_logits_and_weights_are_those_of_the_whole_model(tmp_path):
    script = [sys.executable, "-m", "tests.integration.sharded_gradients"]
    both = [
        subprocess.Popen(
            [*script, str(rank), str(tmp_path / "rendezvous")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    ended = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert [told.split() for told, _ in ended] == [list(ARCHITECTURES)] * 2


@pytest.fixture
def deployed(stack, tmp_path):
    """A stack with the real runner, and a tiny base model with its retain set."""
    tiny_model("gpt_neo").save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    stack.settings = {
        "LETHE_RUNNER_COMMAND": json.dumps([sys.executable, "-m", "worker.runner"]),
        "LETHE_DEVICE": "cpu",
        "LETHE_TORCH_THREADS": "1",
        "LETHE_LEASE_SECONDS": "30",
    }
    backends = stack.backends()
    facts = {"source": str(tmp_path / "model"), "weights_sha256": weights_digest(tmp_path / "model")}
    backends.base_models.add(a_base_model().model_copy(update=facts))
    backends.items.put(an_item_set("set_forget", num_items=3))
    backends.items.put(an_item_set("set_retain", num_items=24))
    return stack


def submitted(stack):
    backends, job = stack.backends(), a_job(created_at=utc_now())
    digest = backends.base_models.get(job.spec.base_model).weights_sha256
    spec = job.spec.model_copy(update={"weights_sha256": digest, "method": METHOD, "policy": "fast-1"})
    job = job.model_copy(update={"spec": spec})
    backends.jobs.add(a_request(job), job, [an_event()])
    publish(job.id, jobs=backends.jobs, queue=backends.queue, clock=utc_now)
    return job


def followers():
    return [
        process.pid
        for process in psutil.Process().children(recursive=True)
        if "worker.follower" in " ".join(process.cmdline())
    ]


def adapter_of(stack, job):
    ended = stack.wait_for_state(job, JobState.SUCCEEDED, seconds=200)
    with zipfile.ZipFile(io.BytesIO(stack.backends().store.get(ended.package.adapter.key))) as archive:
        return load(archive.read("adapter_model.safetensors"))


def run_with(stack, devices):
    """Return the adapter that a worker with so many devices makes, and the processes that it started for the run."""
    stack.settings["LETHE_DEVICES"] = str(devices)
    worker, job = stack.start_worker(), submitted(stack)
    wait_until(lambda: len(followers()) == devices - 1)
    pids = followers()
    adapter = adapter_of(stack, job)
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    for key in list(stack.backends().store.keys("fisher")):  # or the second job would not compute its own
        stack.backends().store.delete(key)
    return adapter, pids


def test_two_processes_give_the_adapter_of_one_and_leave_nothing(deployed, tmp_path):
    together, pids = run_with(deployed, 2)
    alone, _ = run_with(deployed, 1)

    assert together.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, atol=1e-5, rtol=0)
    assert are_gone(pids)
    assert list((tmp_path / "work").iterdir()) == []
    (measured, _) = deployed.backends().measurements.newest()[::-1]
    assert measured.device.name.endswith(", 2 devices")
    assert measured.peak_memory_bytes is None


def test_run_that_loses_one_of_its_processes_ends_at_once_and_begins_again(deployed):
    deployed.settings["LETHE_DEVICES"] = "2"
    deployed.start_worker()
    job = submitted(deployed)
    wait_until(lambda: len(followers()) == 1)
    (lost,) = followers()

    os.kill(lost, signal.SIGKILL)

    wait_until(lambda: deployed.job(job).attempts == 2)
    reasons = [event.message for event in deployed.backends().jobs.events(job.id)]
    assert any("an unexpected error" in reason for reason in reasons)
