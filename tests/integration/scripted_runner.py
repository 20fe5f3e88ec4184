"""A runner whose mathematics is a pause: everything else about it is the real one, process and database included."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from core.domain.errors import DivergedError
from core.domain.job import Job, Stage
from core.domain.request import Disposition, ItemDisposition
from core.ports import JobMonitor
from worker.composition import attempts_of, open_backends
from worker.delivery import Outcome
from worker.execution import Execution, StopRequestedError
from worker.logs import configure_logging
from worker.orphan import end_with_parent
from worker.settings import WorkerSettings

SENTINEL = "zq-sentinel-of-a-forget-text"


def main() -> None:
    end_with_parent()
    scratch, mode = Path(sys.argv[1]), sys.argv[2]
    job_id, fence = sys.argv[3], int(sys.argv[4])
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else _stop)
    settings = WorkerSettings()
    configure_logging(settings.log_level)
    backends = open_backends(settings)
    execute = Execution(
        attempts=attempts_of(settings, backends),
        store=backends.store,
        recipe=lambda job, monitor: _pretend(job, monitor, scratch, mode),
    )
    sys.exit(execute(job_id, fence))


def _pretend(job: Job, monitor: JobMonitor, scratch: Path, mode: str) -> Outcome:
    child = subprocess.Popen(["sleep", "600"])  # whoever ends a run must end this as well
    monitor.load_checkpoint()
    monitor.enter(Stage.TRAIN, total_steps=20)
    monitor.save_checkpoint(SENTINEL.encode())
    (scratch / f"{job.id}.{job.fence}").write_text(f"{os.getpid()} {child.pid}")
    if mode == "diverge":
        raise DivergedError("the loss is not a number")
    if mode == "bug":
        raise ValueError(SENTINEL)
    deadline = time.monotonic() + 60
    step = 0
    while not (scratch / "finish").exists() and time.monotonic() < deadline:
        step += 1
        monitor.advance(min(step, 20))
        time.sleep(0.1)
    archive = scratch / f"{job.id}.zip"
    archive.write_bytes(b"an adapter")
    return Outcome(
        adapter_zip=archive,
        report_json=b"{}",
        report_html=b"<p>",
        dispositions=tuple(
            ItemDisposition(item_id=f"item-{number}", disposition=Disposition.FORGOTTEN) for number in range(2)
        ),
    )


def _stop(*_: object) -> None:
    raise StopRequestedError


if __name__ == "__main__":
    main()
