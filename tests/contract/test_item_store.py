import traceback
from datetime import timedelta

import pytest

from core.domain.errors import AlreadyExistsError, NotFoundError
from core.domain.item_set import ItemSet
from core.domain.items import FactItem, PairItem, TextItem
from tests.contract.conftest import Database
from tests.fakes.clock import START
from tests.fakes.examples import an_item_set


def test_get_returns_items_of_every_shape(database: Database):
    items = (
        TextItem(id="a", text="Zoë's e-mail: zoë@example.org\n\x00 \U0001f600"),
        PairItem(id="b", prompt=" leading blank", completion="trailing blank "),
        FactItem(id="c", subject="Zoë", prompt="Where?", completion="Here."),
    )
    item_set = ItemSet(id="set_1", tenant="acme", owner="dr_1", items=items, commitment="c0ffee", created_at=START)

    database.items.put(item_set)

    assert database.items.get("set_1") == item_set


def test_put_raises_when_the_id_is_taken_and_shows_no_text(database: Database):
    first = an_item_set("set_1")
    database.items.put(first)

    with pytest.raises(AlreadyExistsError) as refused:
        database.items.put(an_item_set("set_1", num_items=1))

    assert database.items.get("set_1") == first
    assert "Where does person" not in "".join(traceback.format_exception(refused.value, chain=True))


def test_get_raises_when_unknown(database: Database):
    with pytest.raises(NotFoundError):
        database.items.get("set_1")


def test_destroy_removes_and_may_be_repeated(database: Database):
    database.items.put(an_item_set("set_1"))

    database.items.destroy("set_1")
    database.items.destroy("set_1")

    with pytest.raises(NotFoundError):
        database.items.get("set_1")


def test_provisional_lists_older_sets_that_nobody_kept(database: Database):
    for name, age in (("set_old", 3), ("set_older", 4), ("set_kept", 5), ("set_destroyed", 6), ("set_young", 1)):
        database.items.put(an_item_set(name, created_at=START - timedelta(minutes=age), owner=f"dr_{name}"))
    database.items.keep("set_kept")
    database.items.keep("set_kept")
    database.items.destroy("set_destroyed")
    database.items.keep("set_destroyed")

    found = database.items.provisional(stored_before=START - timedelta(minutes=1))

    assert [(one.id, one.tenant, one.owner) for one in found] == [
        ("set_older", "acme", "dr_set_older"),
        ("set_old", "acme", "dr_set_old"),
    ]
    assert database.items.provisional(stored_before=START, limit=1)[0].id == "set_older"
    assert database.items.get("set_kept").id == "set_kept"
