"""What a job would take, before it runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.device import Device, DeviceKind, LiveWorker
from core.domain.estimate import BytesRange, Estimate, SecondsRange
from core.domain.measurement import Measurement
from core.domain.workload import Workload
from core.jobs.admission import Admission
from core.jobs.history import Alike
from core.jobs.outlook import Outlook
from core.jobs.predict import duration, peak_memory, stage_seconds, start
from core.jobs.queue_wait import queue_wait
from core.jobs.submission import CheckSubmission, Submission
from core.ports import Clock, JobRepository

_MOST_AHEAD = 500  # each is predicted by itself

_NOT_COUNTED = "this base model was registered before its sets were counted: register it again, under another id"
_NOT_MEASURED = "nothing has been measured on the devices at work yet; the first job that ends well will be"
_NO_SPREAD = "a single measurement shows no spread: low and high come with the second"
_NO_PEAK = "the device of the measured jobs does not tell how much memory they took"
_NO_WORKER = "no worker is alive"
_NOT_TOLD = "no living worker has told its memory yet; it does with its first job"
_UNKNOWN_AHEAD = "a job ahead cannot be estimated"
_TOO_MANY_AHEAD = f"more than {_MOST_AHEAD} jobs are ahead"


@dataclass(frozen=True)
class EstimateJob:
    """Tells what a submission would take. Nothing of it is stored."""

    check: CheckSubmission
    admission: Admission
    jobs: JobRepository
    clock: Clock

    def __call__(self, submission: Submission) -> Estimate:
        """Return what is known, and why the rest is not.

        Raises:
            InvalidRequestError: as of :class:`core.jobs.submit.Submit`: it would be refused.
        """
        checked = self.check(submission)
        live = self.admission.live()
        devices = [worker.device for worker in live if worker.device is not None]
        outlook = Outlook(self.admission.history, {device.name for device in devices})
        waits, why_not = self._wait(live, outlook)
        workload = checked.workload
        alike = None if workload is None else outlook.slowest(workload, checked.base_model.weights_sha256)
        seconds = duration(workload, alike.measurements) if workload and alike else None
        memory = None if workload is None else peak_memory(workload, _kind(alike, devices), _of(alike))
        there = max((device.memory_bytes for device in devices), default=None)
        return Estimate(
            duration_seconds=seconds,
            start_seconds=start(alike.measurements) if alike else None,
            peak_memory_bytes=memory,
            device_memory_bytes=there,
            queue_wait_seconds=waits,
            steps=workload.steps if workload else None,
            stages=_stages(workload, alike) if workload and alike else {},
            based_on=alike.basis if alike else None,
            absent={
                **_unpredicted(seconds, memory, reason=_NOT_MEASURED if workload else _NOT_COUNTED),
                **({"device_memory_bytes": _NOT_TOLD if live else _NO_WORKER} if there is None else {}),
                **({"queue_wait_seconds": why_not} if why_not else {}),
            },
        )

    def _wait(self, live: Sequence[LiveWorker], outlook: Outlook) -> tuple[float | None, str | None]:
        """Return how long the queue would last, or None and the reason."""
        if not live:
            return None, _NO_WORKER
        ahead = self.jobs.unfinished(limit=_MOST_AHEAD + 1)
        if len(ahead) > _MOST_AHEAD:
            return None, _TOO_MANY_AHEAD
        seconds = queue_wait(ahead, num_workers=len(live), now=self.clock(), seconds_of=outlook.seconds)
        return seconds, _UNKNOWN_AHEAD if seconds is None else None


def _of(alike: Alike | None) -> Sequence[Measurement]:
    return alike.measurements if alike else ()


def _kind(alike: Alike | None, devices: Sequence[Device]) -> DeviceKind | None:
    """Return the kind of device that the job is predicted for; None where there may be several."""
    kinds = {job.device.kind for job in _of(alike)} or {device.kind for device in devices}
    return kinds.pop() if len(kinds) == 1 else None


def _stages(workload: Workload, alike: Alike) -> dict[str, float]:
    return {name: round(stage.likely, 3) for name, stage in stage_seconds(workload, alike.measurements).items()}


def _unpredicted(seconds: SecondsRange | None, memory: BytesRange | None, *, reason: str) -> dict[str, str]:
    """Return why each part of a prediction is not there, by its name."""
    absent: dict[str, str] = {}
    if seconds is None:
        absent |= dict.fromkeys(("duration_seconds", "start_seconds", "based_on"), reason)
    elif seconds.high is None:
        absent["duration_seconds.high"] = _NO_SPREAD
    if memory is None:
        absent |= dict.fromkeys(("peak_memory_bytes", "steps"), reason)
    elif memory.likely is None:
        absent["peak_memory_bytes.likely"] = _NO_PEAK if seconds else reason
    elif memory.high is None:
        absent["peak_memory_bytes.high"] = _NO_SPREAD
    return absent
