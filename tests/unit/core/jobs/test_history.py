import pytest

from core.jobs.history import History
from tests.fakes.examples import CPU, a_measurement, a_workload
from tests.fakes.measurement_repository import FakeMeasurementRepository

MODEL, OTHER_MODEL = "ab" * 32, "cd" * 32
ASKED = a_workload(method="npo", policy="fast-1")
GPU = CPU.model_copy(update={"kind": "cuda", "name": "a GPU"})


@pytest.fixture
def history(measurements: FakeMeasurementRepository) -> History:
    return History(measurements)


def test_nothing_is_alike_before_anything_ran_on_the_device(history, measurements):
    measurements.add(a_measurement(ASKED, device=GPU))

    assert history.alike(ASKED, MODEL, CPU.name) is None


def test_jobs_by_the_same_method_and_policy_go_before_newer_others(history, measurements):
    same = a_measurement(ASKED)
    for workload in (ASKED, a_workload(method="npo"), a_workload(policy="fast-1")):
        measurements.add(a_measurement(workload))

    alike = history.alike(ASKED, MODEL, CPU.name)

    assert alike.measurements == (same,)
    assert (alike.basis.same_base_model, alike.basis.same_method_and_policy) == (True, True)
    assert (alike.basis.measurements, alike.basis.device) == (1, CPU.name)


def test_any_job_on_the_base_model_goes_before_the_same_method_on_another(history, measurements):
    measurements.add(a_measurement())
    measurements.add(a_measurement(ASKED, weights_sha256=OTHER_MODEL))

    alike = history.alike(ASKED, MODEL, CPU.name)

    assert [job.workload.method for job in alike.measurements] == ["loku"]
    assert (alike.basis.same_base_model, alike.basis.same_method_and_policy) == (True, False)


def test_jobs_on_other_base_models_are_the_last_resort(history, measurements):
    measurements.add(a_measurement(weights_sha256=OTHER_MODEL))

    alike = history.alike(ASKED, MODEL, CPU.name)

    assert (alike.basis.same_base_model, alike.basis.same_method_and_policy) == (False, False)


def test_the_nine_newest_count(history, measurements):
    for seconds in range(15):
        measurements.add(a_measurement(ASKED, seconds=seconds))

    alike = history.alike(ASKED, MODEL, CPU.name)

    assert [job.seconds["train"] for job in alike.measurements] == list(range(14, 5, -1))
    assert alike.basis.measurements == 9


def test_the_last_device_is_that_of_the_newest_job_on_the_base_model(history, measurements):
    assert history.last_device(MODEL) is None
    for device, model in ((CPU, MODEL), (GPU, MODEL), (CPU, OTHER_MODEL)):
        measurements.add(a_measurement(device=device, weights_sha256=model))

    assert history.last_device(MODEL) == "a GPU"
