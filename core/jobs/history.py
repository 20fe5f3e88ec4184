from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.estimate import Basis
from core.domain.measurement import Measurement
from core.domain.workload import Workload
from core.ports import MeasurementRepository

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
        for same_kind, same_model in ((True, True), (False, True), (False, False)):
            found = self.measurements.newest(
                device=device,
                weights_sha256=weights_sha256 if same_model else None,
                method=workload.method if same_kind else None,
                policy=workload.policy if same_kind else None,
                limit=_COUNTED,
            )
            if found:
                basis = Basis(
                    measurements=len(found),
                    device=device,
                    same_base_model=same_model,
                    same_method_and_policy=same_kind,
                )
                return Alike(found, basis)
        return None

    def last_device(self, weights_sha256: str) -> str | None:
        """Return the name of the device on which a job on this base model was measured last."""
        newest = self.measurements.newest(weights_sha256=weights_sha256, limit=1)
        return newest[0].device.name if newest else None
