from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import Engine, select

from core.backends.sql.engine import reading
from core.backends.sql.tables import measurements
from core.domain.measurement import Measurement


@dataclass(frozen=True)
class SqlMeasurementRepository:
    """See :class:`core.ports.MeasurementRepository`. A measurement is one document, beside what it is found by."""

    engine: Engine

    def add(self, measurement: Measurement) -> None:
        """See the port."""
        row = {
            "weights_sha256": measurement.weights_sha256,
            "device_name": measurement.device.name,
            "measured_at": measurement.measured_at,
            "measurement": measurement.model_dump(mode="json"),
        }
        with self.engine.begin() as connection:
            connection.execute(measurements.insert(), [row])

    def newest(
        self,
        *,
        device: str | None = None,
        weights_sha256: str | None = None,
        method: str | None = None,
        policy: str | None = None,
        limit: int = 100,
    ) -> tuple[Measurement, ...]:
        """See the port."""
        workload = measurements.c.measurement["workload"]
        asked = {
            measurements.c.device_name: device,
            measurements.c.weights_sha256: weights_sha256,
            workload["method"].as_string(): method,
            workload["policy"].as_string(): policy,
        }
        query = select(measurements.c.measurement)
        for column, value in asked.items():
            query = query if value is None else query.where(column == value)
        newest_first = query.order_by(measurements.c.measured_at.desc(), measurements.c.number.desc())
        with reading(self.engine) as connection:
            found = connection.execute(newest_first.limit(limit)).scalars().all()
        return tuple(measurement for document in found if (measurement := _readable(document)) is not None)


def _readable(document: object) -> Measurement | None:
    """Return the measurement, or None for one that another release stored: others tell as much."""
    try:
        return Measurement.model_validate(document)
    except ValidationError:
        return None
