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
