"""How far estimates are from what jobs take, on the embedded stack."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.performance.overhead import HOW, OPTIONS, Served, Service, running_service
from bench.performance.row import Row, Target, seconds
from cli.client import EstimateView
from cli.demo.people import questions
from cli.items import without_absent
from core.domain.items import PairItem

SIZES = (1, 32, 4)  # forget items of the jobs before those whose size was never measured
NEW_SIZES = (8, 16)


@dataclass(frozen=True)
class Foreseen:
    """A job, what it was estimated to take, and what it took."""

    estimate: EstimateView
    job: Served

    @property
    def ratio(self) -> float:
        """The likely duration over the real one, of all stages."""
        if self.estimate.duration_seconds is None or self.estimate.duration_seconds.likely is None:
            raise RuntimeError(f"there is no estimate: {self.estimate.absent}")
        return self.estimate.duration_seconds.likely / sum(self.job.report.timings_seconds.values())

    @property
    def off_by(self) -> float:
        """The factor between the two, whichever is larger."""
        return max(self.ratio, 1 / self.ratio)


def rows(*, repeats: int) -> list[Row]:
    """Return the rows of the table that are about estimates."""
    items = [item for person in OPTIONS.population().forget for item in questions(person)]
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as directory, running_service(Path(directory)) as service:
        service.serve(items[:1])
        twins = [_foreseen(service, items[:1]) for _ in range(repeats)]
        for size in SIZES:
            service.serve(items[:size])
        others = [_foreseen(service, items[:size]) for size in NEW_SIZES]
        body = {"base_model": service.base_model, "forget": without_absent(items)}
        waits = [seconds(lambda: service.client.estimate(body)) for _ in range(repeats)]
    return [
        Row.of(
            "estimated over real duration of a job whose twin just ran, or the inverse, whichever is larger",
            [job.off_by for job in twins],
            Target("at most", 1.3),
            f"{HOW}; one item, all stages, the start of the runner aside",
        ),
        Row.of(
            "the same of a job of a size that never ran",
            [job.off_by for job in others],
            None,
            f"{HOW}; {_listed(NEW_SIZES)} items, after jobs of {_listed(sorted(SIZES))}",
        ),
        Row.of("seconds until an estimate is answered", waits, None, f"{HOW}; {len(items)} items"),
    ]


def _foreseen(service: Service, forget: Sequence[PairItem]) -> Foreseen:
    body = {"base_model": service.base_model, "forget": without_absent(forget)}
    return Foreseen(service.client.estimate(body), service.serve(forget))


def _listed(sizes: Sequence[int]) -> str:
    return " and ".join([", ".join(str(size) for size in sizes[:-1]), str(sizes[-1])])
