from core.domain.measurement import Measurement


class FakeMeasurementRepository:
    """Measurements in a list."""

    def __init__(self) -> None:
        self.measurements: list[Measurement] = []

    def add(self, measurement: Measurement) -> None:
        self.measurements.append(measurement)

    def newest(
        self,
        *,
        device: str | None = None,
        weights_sha256: str | None = None,
        method: str | None = None,
        policy: str | None = None,
        limit: int = 100,
    ) -> tuple[Measurement, ...]:
        found = [
            measurement
            for measurement in reversed(self.measurements)
            if device in {None, measurement.device.name}
            and weights_sha256 in {None, measurement.weights_sha256}
            and method in {None, measurement.workload.method}
            and policy in {None, measurement.workload.policy}
        ]
        return tuple(sorted(found, key=lambda measurement: measurement.measured_at, reverse=True)[:limit])
