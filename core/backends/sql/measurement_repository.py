from dataclasses import dataclass
from functools import cache

from pydantic import ValidationError
from sqlalchemy import Engine, Select, bindparam, select

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
            "method": measurement.workload.method,
            "policy": measurement.workload.policy,
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
        by = {"device_name": device, "weights_sha256": weights_sha256, "method": method, "policy": policy}
        asked = {name: value for name, value in by.items() if value is not None}
        with reading(self.engine) as connection:
            found = connection.execute(_newest(*asked), {**asked, "at_most": limit}).scalars().all()
        return tuple(measurement for document in found if (measurement := _readable(document)) is not None)


@cache
def _newest(*asked: str) -> Select[tuple[object]]:
    """Return the query by what is asked, made once: every submission asks, and to make it takes as long as it does."""
    query = select(measurements.c.measurement)
    for name in asked:
        query = query.where(measurements.c[name] == bindparam(name))
    newest_first = query.order_by(measurements.c.measured_at.desc(), measurements.c.number.desc())
    return newest_first.limit(bindparam("at_most"))


def _readable(document: object) -> Measurement | None:
    """Return the measurement, or None for one that another release stored: others tell as much."""
    try:
        return Measurement.model_validate(document)
    except ValidationError:
        return None
