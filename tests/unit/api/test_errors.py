from api import errors
from api.errors import PROBLEMS, kind_of, kinds_by_code
from core.domain import errors as domain


def _tree(root):
    return {root} | {leaf for child in root.__subclasses__() for leaf in _tree(child)}


def test_every_error_that_can_reach_a_client_has_its_own_row():
    never_in_the_api = _tree(domain.JobFailure) | {domain.WorkerUnfitError, errors.HttpError}
    ours = {error for error in _tree(domain.LetheError) if error.__module__ in {"core.domain.errors", "api.errors"}}
    assert ours - never_in_the_api <= set(PROBLEMS)


def test_codes_name_one_kind_each():
    assert len({error.code for error in PROBLEMS}) == len(PROBLEMS)


def test_kind_of_an_error_without_a_row_is_that_of_its_nearest_ancestor():
    class NewFieldError(domain.InvalidRequestError):
        pass

    assert kind_of(NewFieldError) is PROBLEMS[domain.InvalidRequestError]


def test_every_problem_type_is_a_page(world):
    client = world.client(tenant=None)
    index = client.get("/problems").text
    for code, kind in kinds_by_code().items():
        page = client.get(f"/problems/{code}")
        assert page.status_code == 200
        assert str(kind.status) in page.text
        assert f"/problems/{code}" in index


def test_a_page_about_an_unknown_problem_is_404(world):
    assert world.client(tenant=None).get("/problems/<script>").status_code == 404
