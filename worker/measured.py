"""A run that is begun only where there is memory for it, and that leaves what it took for the estimates of others."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from core.domain.device import Device, LiveWorker
from core.domain.errors import InsufficientMemoryError
from core.domain.job import Job
from core.domain.measurement import Measurement
from core.domain.report import EvaluationReport
from core.domain.workload import Workload
from core.jobs.admission import REMEDY, Admission, mebibytes
from core.modeling.device import describe, watch_peak
from core.pipeline.task import RunOutcome
from worker.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class MeasuredRun:
    """Runs jobs on one device."""

    device: torch.device
    memory_bytes: int | None  # that jobs may fill; None: all of the device's
    admission: Admission
    ways: tuple[str, ...] = ()  # of computing, that are not the device's own
    devices: int = 1  # over which a base model is spread; the peak of several is not known here

    def __call__(self, job: Job, run: Callable[[], RunOutcome]) -> RunOutcome:
        """Return what the run does.

        Raises:
            InsufficientMemoryError: the job surely needs more memory than the device has.
        """
        device = describe(self.device, memory_bytes=self.memory_bytes, ways=self.ways, count=self.devices)
        self._tell(job, device)
        if job.workload is None:
            return run()
        self._require_memory(job.workload, job.spec.weights_sha256, device)
        peak_bytes = watch_peak(self.device)
        ran = run()
        if is_whole(job, ran.report):
            seconds = ran.report.timings_seconds
            self._keep(
                Measurement(
                    weights_sha256=job.spec.weights_sha256,
                    device=device,
                    workload=job.workload,
                    steps=_steps(ran.report),
                    reused_statistics=_reused_statistics(ran.report),
                    start_seconds=max(0.0, self._seconds_since_claim(job) - sum(seconds.values())),
                    seconds=seconds,
                    peak_memory_bytes=peak_bytes() if self.devices == 1 else None,
                    measured_at=self.admission.clock(),
                )
            )
        return ran

    def _tell(self, job: Job, device: Device) -> None:
        """Tell what the worker computes on. A database that is away is told by the next job."""
        if job.lease is None:
            return
        try:
            self.admission.workers.seen(
                LiveWorker(owner=job.lease.owner, device=device, seen_at=self.admission.clock())
            )
        except Exception:
            log.warning("the worker's device could not be told", exc_info=True)

    def _require_memory(self, workload: Workload, weights_sha256: str, device: Device) -> None:
        needed = self.admission.memory(workload, weights_sha256, device).low
        if needed > device.memory_bytes:
            raise InsufficientMemoryError(
                f"the job needs at least {mebibytes(needed)} of memory, and the worker's device has "
                f"{mebibytes(device.memory_bytes)}: {REMEDY}"
            )

    def _seconds_since_claim(self, job: Job) -> float:
        now = self.admission.clock()
        return (now - (job.started_at or now)).total_seconds()

    def _keep(self, measurement: Measurement) -> None:
        """Store what the job took. An outage costs the measurement, and not the run."""
        try:
            self.admission.history.measurements.add(measurement)
        except Exception:
            log.warning("what the job took could not be stored", exc_info=True)


def is_whole(job: Job, report: EvaluationReport) -> bool:
    """Whether one attempt did all of the job: not one that resumed another, nor one that found nothing to do."""
    return job.fence == 1 and report.training is not None and report.training.resumed_from_step is None


def _steps(report: EvaluationReport) -> int | None:
    """Return the steps of a training, None for an edit: its steps are no passes of the model."""
    return None if report.training is None or report.edit is not None else report.training.steps


def _reused_statistics(report: EvaluationReport) -> bool:
    if report.edit is not None:
        return report.edit.moments_from_cache
    return report.fisher is not None and report.fisher.retain_from_cache
