"""A runner whose mathematics is a pause: everything else about it is the real one, process and database included."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from core.domain.errors import DivergedError
from core.domain.job import Job, Stage
from core.domain.request import Disposition, ItemDisposition
from core.ports import JobMonitor
from worker.delivery import Outcome
from worker.runner import run_attempts

SENTINEL = "zq-sentinel-of-a-forget-text"


@dataclass(frozen=True)
class Pause:
    """What the mode says goes wrong: ``tidy`` and ``touched`` runs start no process that somebody else must end."""

    scratch: Path
    mode: str

    def __call__(self, job: Job, monitor: JobMonitor) -> Outcome:
        pids = [os.getpid()]
        if self.mode not in {"tidy", "touched"}:
            pids.append(subprocess.Popen(["sleep", "600"]).pid)  # whoever ends a run must end this as well
        if self.mode == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        monitor.load_checkpoint()
        monitor.enter(Stage.TRAIN, total_steps=20)
        monitor.save_checkpoint(SENTINEL.encode())
        (self.scratch / f"{job.id}.{job.fence}").write_text(" ".join(map(str, [pids[0], pids[-1]])))
        sys.stdout.write("what a library prints\n")  # the supervisor must not take it for an answer
        sys.stdout.flush()
        if self.mode == "diverge":
            raise DivergedError("the loss is not a number")
        if self.mode == "bug":
            raise ValueError(SENTINEL)
        self._wait(monitor)
        archive = self.scratch / f"{job.id}.zip"
        archive.write_bytes(b"an adapter")
        return Outcome(
            adapter_zip=archive,
            report_json=b"{}",
            report_html=b"<p>",
            dispositions=tuple(
                ItemDisposition(item_id=f"item-{number}", disposition=Disposition.FORGOTTEN) for number in range(2)
            ),
        )

    def is_fit_for_another(self) -> bool:
        if self.mode == "tidy":
            time.sleep(1.5)  # longer than the pause between two heartbeats, of which the next finds no lease
        return self.mode != "touched"

    def _wait(self, monitor: JobMonitor) -> None:
        deadline = time.monotonic() + 60
        step = 0
        while not (self.scratch / "finish").exists() and time.monotonic() < deadline:
            step += 1
            monitor.advance(min(step, 20))
            time.sleep(0.1)


if __name__ == "__main__":
    run_attempts(lambda backends, settings: Pause(Path(sys.argv[1]), sys.argv[2]))
