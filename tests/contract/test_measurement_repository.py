from datetime import timedelta

from tests.contract.conftest import Database
from tests.fakes.clock import START
from tests.fakes.examples import CPU, a_measurement, a_workload

OTHER = CPU.model_copy(update={"name": "another CPU"})


def test_newest_returns_every_field_that_was_added(database: Database):
    measurement = a_measurement(seconds=1.25, peak=None)

    database.measurements.add(measurement)

    assert database.measurements.newest() == (measurement,)


def test_newest_is_empty_before_any_job_has_finished(database: Database):
    assert database.measurements.newest(device="a CPU, 2 threads", weights_sha256="ab" * 32) == ()


def test_the_newest_come_first_whatever_the_order_they_were_added_in(database: Database):
    days = [a_measurement(seconds=day, measured_at=START + timedelta(days=day)) for day in (2, 0, 3, 1)]
    for measurement in days:
        database.measurements.add(measurement)

    found = database.measurements.newest(limit=3)

    assert [measurement.seconds["train"] for measurement in found] == [3, 2, 1]


def test_of_measurements_of_one_time_the_last_added_comes_first(database: Database):
    for seconds in (1.0, 2.0):
        database.measurements.add(a_measurement(seconds=seconds))

    assert [measurement.seconds["train"] for measurement in database.measurements.newest()] == [2, 1]


def test_newest_keeps_to_a_device_and_a_base_model(database: Database):
    here, elsewhere, other_model = a_measurement(), a_measurement(device=OTHER), a_measurement(weights_sha256="cd" * 32)
    for measurement in (here, elsewhere, other_model):
        database.measurements.add(measurement)

    assert database.measurements.newest(device=CPU.name) == (other_model, here)
    assert database.measurements.newest(weights_sha256="ab" * 32) == (elsewhere, here)
    assert database.measurements.newest(device=CPU.name, weights_sha256="ab" * 32) == (here,)


def test_newest_keeps_to_a_method_and_a_policy(database: Database):
    kinds = [("npo", "fast-1"), ("npo", "standard-2"), ("loku", "fast-1")]
    for method, policy in kinds:
        database.measurements.add(a_measurement(a_workload(method=method, policy=policy)))

    def found(**asked: str) -> list[tuple[str, str]]:
        return [(job.workload.method, job.workload.policy) for job in database.measurements.newest(**asked)]

    assert found(method="npo") == [("npo", "standard-2"), ("npo", "fast-1")]
    assert found(policy="fast-1") == [("loku", "fast-1"), ("npo", "fast-1")]
    assert found(method="npo", policy="fast-1") == [("npo", "fast-1")]
    assert found(method="rmu") == []


def test_the_limit_counts_what_is_asked_for_and_not_what_is_there(database: Database):
    database.measurements.add(a_measurement())
    for _ in range(3):
        database.measurements.add(a_measurement(device=OTHER))

    assert database.measurements.newest(device=CPU.name, limit=1) == (a_measurement(),)
