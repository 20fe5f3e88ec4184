from datetime import timedelta

import pytest

from core.domain.api_key import ApiKey
from core.domain.errors import AlreadyExistsError, NotFoundError
from tests.contract.conftest import Database
from tests.fakes.clock import START

KEY = ApiKey(id="key_1", tenant="acme", secret_hmac="ab" * 32, created_at=START)


def test_get_returns_what_was_added(database: Database):
    database.api_keys.add(KEY)

    assert database.api_keys.get("key_1") == KEY


def test_add_raises_when_the_id_is_taken(database: Database):
    database.api_keys.add(KEY)

    with pytest.raises(AlreadyExistsError):
        database.api_keys.add(KEY.model_copy(update={"tenant": "other"}))

    assert database.api_keys.get("key_1") == KEY


def test_get_raises_when_unknown(database: Database):
    with pytest.raises(NotFoundError):
        database.api_keys.get("key_1")


def test_list_pages_through_all_keys_in_order_of_id(database: Database):
    stored = [KEY.model_copy(update={"id": f"key_{number}"}) for number in (3, 1, 2)]
    for key in stored:
        database.api_keys.add(key)
    database.api_keys.revoke("key_2", at=START)

    first = database.api_keys.list(limit=2)
    second = database.api_keys.list(after=first.data[-1].id, limit=2)

    assert [key.id for key in first.data + second.data] == ["key_1", "key_2", "key_3"]
    assert (first.has_more, second.has_more) == (True, False)


def test_revoke_marks_that_key_alone(database: Database):
    other = KEY.model_copy(update={"id": "key_2"})
    database.api_keys.add(KEY)
    database.api_keys.add(other)

    revoked = database.api_keys.revoke("key_1", at=START)

    assert revoked == KEY.model_copy(update={"revoked_at": START})
    assert database.api_keys.list().data == (revoked, other)


def test_revoking_twice_keeps_the_first_time(database: Database):
    database.api_keys.add(KEY)
    database.api_keys.revoke("key_1", at=START)

    revoked = database.api_keys.revoke("key_1", at=START + timedelta(days=1))

    assert revoked.revoked_at == START
    assert database.api_keys.get("key_1") == revoked


def test_revoke_raises_when_unknown(database: Database):
    with pytest.raises(NotFoundError):
        database.api_keys.revoke("key_1", at=START)
