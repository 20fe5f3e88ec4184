import pytest

from core.domain.errors import AlreadyExistsError, NotFoundError
from tests.contract.conftest import Database
from tests.fakes.examples import a_base_model


def test_get_returns_every_field_that_was_added(database: Database):
    model = a_base_model().model_copy(update={"revision": "0" * 40, "num_parameters": 70_000_000_000})

    database.base_models.add(model)

    assert database.base_models.get(model.id) == model


def test_add_raises_when_the_id_is_taken(database: Database):
    database.base_models.add(a_base_model())

    with pytest.raises(AlreadyExistsError):
        database.base_models.add(a_base_model(retain_set_id=None))

    assert database.base_models.get(a_base_model().id) == a_base_model()


def test_get_raises_when_unknown(database: Database):
    with pytest.raises(NotFoundError):
        database.base_models.get("nobody/nothing")


def test_list_pages_in_the_order_of_the_bytes(database: Database):
    names = ["zoo", "Zoo", "a/b", "a-b", "a.b", "a_b", "aa", "Ab", "9"]
    for name in names:
        database.base_models.add(a_base_model(name))

    first = database.base_models.list(limit=4)
    second = database.base_models.list(after=first.data[-1].id, limit=5)

    assert [model.id for model in (*first.data, *second.data)] == sorted(names)
    assert (first.has_more, second.has_more) == (True, False)


def test_list_is_empty_when_nothing_is_registered(database: Database):
    page = database.base_models.list()

    assert (page.data, page.has_more) == ((), False)
