from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.estimate import Basis
from core.domain.measurement import Measurement
from core.domain.workload import Workload
from core.ports import MeasurementRepository

_LOOKED_AT = 200  # of the newest; among so many, some are like the job that is asked about
_COUNTED = 9  # the least and the most of nine hold the next one with probability 0.8; see core.jobs.predict


@dataclass(frozen=True)
class Alike:
    """Measurements on devices of one name, newest first, of the jobs that are most like one that is asked about."""

    measurements: Sequence[Measurement]
    basis: Basis


@dataclass(frozen=True)
class History:
    """What jobs took."""

    measurements: MeasurementRepository

    def alike(self, workload: Workload, weights_sha256: str, device: str) -> Alike | None:
        """Return the measurements of jobs on this base model by this method and policy, where there are any.

        Else of any job on this base model, else of jobs on other base models; None where nothing has run on the device.
        """
        on_model = self.measurements.newest(device=device, weights_sha256=weights_sha256, limit=_LOOKED_AT)
        same = [
            job for job in on_model if (job.workload.method, job.workload.policy) == (workload.method, workload.policy)
        ]
        found = same or on_model or self.measurements.newest(device=device, limit=_COUNTED)
        if not found:
            return None
        counted = found[:_COUNTED]
        basis = Basis(
            measurements=len(counted),
            device=device,
            same_base_model=bool(on_model),
            same_method_and_policy=bool(same),
        )
        return Alike(counted, basis)

    def last_device(self, weights_sha256: str) -> str | None:
        """Return the name of the device on which a job on this base model was measured last."""
        newest = self.measurements.newest(weights_sha256=weights_sha256, limit=1)
        return newest[0].device.name if newest else None
