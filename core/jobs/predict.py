"""Time and memory of a job, from what jobs like it took."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeAlias

from core.domain.device import Device, DeviceKind
from core.domain.estimate import BytesRange, SecondsRange
from core.domain.job import Stage
from core.domain.measurement import Measurement
from core.domain.workload import Workload
from core.jobs.line import Point, Range, cost_of

Measurements: TypeAlias = Sequence[Measurement]  # on devices of one name, newest first

_BYTES_OF_WEIGHT: dict[DeviceKind, int] = {"cpu": 4, "cuda": 2}  # float32 and bfloat16
# Of each trained entry of an adapter, in float32: itself, its anchor, its gradient and the two moments of AdamW.
_BYTES_OF_ENTRY = 20
_BYTES_OF_VALUE = 4


def stage_seconds(workload: Workload, measured: Measurements) -> dict[str, Range]:
    """Return what each stage would take, by at least one measurement."""
    has_statistics = workload.shares_statistics and any(
        other.workload.shares_statistics and other.workload.method == workload.method for other in measured
    )
    return _stages(workload, measured, has_statistics=has_statistics)


def likely_steps(workload: Workload, measured: Measurements) -> float | None:
    """Return how many steps training would take: more texts take more until they are forgotten, up to the schedule.

    None for a method without steps, or where no measured job has taken any.
    """
    points = [Point(job.workload.forget_tokens, job.steps) for job in measured if job.steps is not None]
    if workload.steps is None or not points:
        return None
    return min(workload.steps, cost_of(workload.forget_tokens, points).likely)


def start(measured: Measurements) -> SecondsRange:
    """Return what comes on top of the stages, by at least one measurement: between a runner that stayed and a new one.

    Which of the two will take a job is not known before.
    """
    seconds = [job.start_seconds for job in measured]
    if len(seconds) == 1:
        return SecondsRange(low=None, likely=seconds[0], high=None)
    return SecondsRange(low=min(seconds), likely=median(seconds), high=max(seconds))


def duration(workload: Workload, measured: Measurements) -> SecondsRange:
    """Return what all stages of the job would take, by at least one measurement.

    How far off that may be is seen from each measured job: what it took over what the others predict for it. The least
    and the most of this count. Of ``n`` jobs they hold the next one with probability ``(n - 1) / (n + 1)`` whatever
    the distribution, so those of nine are the tenth and the ninetieth percentile. A single job has no others, so it
    leaves both ends open.
    """
    stages = stage_seconds(workload, measured).values()
    misses = _misses(measured, _likely_seconds, lambda job: sum(job.seconds.values()))
    return SecondsRange(
        low=min(1.0, *misses) * sum(stage.low for stage in stages) if misses else None,
        likely=sum(stage.likely for stage in stages),
        high=max(1.0, *misses) * sum(stage.high for stage in stages) if misses else None,
    )


def peak_memory(workload: Workload, kind: DeviceKind | None, measured: Measurements) -> BytesRange:
    """Return how much memory of a device the job would need; where the kind is not known, of either.

    Without any measurement only the least of it is known: weights, adapter and what is kept for each entry of it must
    all be there at once. With some, what comes on top follows the adapter and the widest batch by the same rules as
    time follows tokens.
    """
    floor = _floor(workload, kind)
    told = _told(measured)
    if not told:
        return BytesRange(low=floor, likely=None, high=None)
    found = _bytes(workload, kind, told)
    misses = _misses(told, lambda job, others: _bytes(job.workload, kind, others).likely, _peak)
    return BytesRange(
        low=max(floor, round(min(1.0, *misses) * found.low)) if misses else floor,
        likely=max(floor, round(found.likely)),
        high=max(floor, round(max(1.0, *misses) * found.high)) if misses else None,
    )


def fits(workload: Workload, device: Device, measured: Measurements) -> bool:
    """Whether the low end of :func:`peak_memory` is within the device's memory.

    What measured jobs were off can only lower that end, and takes far longer to find than all else, so that is done
    only where the job would not fit without it.
    """
    told = _told(measured)
    found = round(_bytes(workload, device.kind, told).low) if told else 0
    if max(_floor(workload, device.kind), found) <= device.memory_bytes:
        return True
    return peak_memory(workload, device.kind, measured).low <= device.memory_bytes


def _floor(workload: Workload, kind: DeviceKind | None) -> int:
    return _weight_bytes(workload, kind) + _BYTES_OF_ENTRY * workload.adapter_entries


def _told(measured: Measurements) -> Measurements:
    return [job for job in measured if job.peak_memory_bytes is not None]


def _stages(workload: Workload, measured: Measurements, *, has_statistics: bool) -> dict[str, Range]:
    steps = likely_steps(workload, measured)
    return {
        stage: cost_of(
            _work(workload, stage, has_statistics=has_statistics, steps=steps),
            [
                Point(
                    _work(job.workload, stage, has_statistics=job.reused_statistics, steps=job.steps),
                    job.seconds[stage],
                )
                for job in measured
                if stage in job.seconds
            ],
        )
        for stage in dict.fromkeys(stage for job in measured for stage in job.seconds)
    }


def _work(workload: Workload, stage: str, *, has_statistics: bool, steps: float | None) -> float:
    """Return the tokens of a stage times the parameters that each of them passes."""
    if stage == Stage.FISHER and has_statistics:
        return 0
    done = steps / workload.steps if stage == Stage.TRAIN and steps is not None and workload.steps else 1
    return done * workload.tokens.get(stage, 0) * workload.num_parameters


def _likely_seconds(job: Measurement, others: Measurements) -> float:
    stages = _stages(job.workload, others, has_statistics=job.reused_statistics)
    return sum(stage.likely for stage in stages.values())


def _misses(
    measured: Measurements,
    predicted: Callable[[Measurement, Measurements], float],
    took: Callable[[Measurement], float],
) -> list[float]:
    """Return by which factor each measured job was off what the others predict for it; of a single job, nothing."""
    rests = ([*measured[:place], *measured[place + 1 :]] for place in range(len(measured)))
    pairs = [(took(job), predicted(job, rest)) for job, rest in zip(measured, rests, strict=True) if rest]
    return [real / likely for real, likely in pairs if likely > 0]


def _bytes(workload: Workload, kind: DeviceKind | None, measured: Measurements) -> Range:
    """Return what is needed, the weights included."""
    weights = _weight_bytes(workload, kind)
    points = [Point(_kept(job.workload), max(0, _peak(job) - _weight_bytes(job.workload, kind))) for job in measured]
    on_top = cost_of(_kept(workload), points)
    return Range(weights + on_top.low, weights + on_top.likely, weights + on_top.high)


def _peak(job: Measurement) -> int:
    if job.peak_memory_bytes is None:
        raise ValueError("this measurement has no peak")
    return job.peak_memory_bytes


def _kept(workload: Workload) -> int:
    """Return the bytes that training keeps beside the weights."""
    kept = workload.batch_tokens * workload.values_per_token * _BYTES_OF_VALUE
    return kept + workload.adapter_entries * _BYTES_OF_ENTRY


def _weight_bytes(workload: Workload, kind: DeviceKind | None) -> int:
    return workload.num_parameters * (_BYTES_OF_WEIGHT[kind] if kind else min(_BYTES_OF_WEIGHT.values()))
