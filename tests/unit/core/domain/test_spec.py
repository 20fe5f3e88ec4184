import pytest
from pydantic import ValidationError

from core.domain.job import Job
from tests.fakes.examples import a_job, a_probe


@pytest.mark.parametrize("job", [a_job(), a_probe(external_id="case-7")], ids=["unlearning", "probe"])
def test_spec_comes_back_as_the_kind_that_it_was(job: Job):
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_spec_without_a_kind_is_of_an_unlearning_run():
    row = a_job().model_dump(mode="json")
    del row["spec"]["kind"]

    assert Job.model_validate(row).unlearning == a_job().spec


def test_unknown_kind_is_refused():
    row = a_probe().model_dump(mode="json")
    row["spec"]["kind"] = "poem"

    with pytest.raises(ValidationError):
        Job.model_validate(row)


def test_spec_is_had_by_its_own_name_only():
    assert a_job().unlearning.method.name == "loku"
    assert a_probe().probe.num_items == 2
    with pytest.raises(TypeError):
        _ = a_job().probe
    with pytest.raises(TypeError):
        _ = a_probe().unlearning
