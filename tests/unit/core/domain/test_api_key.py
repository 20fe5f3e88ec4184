import re
from datetime import UTC, datetime

import pytest

from core.domain.api_key import key_id_of, matches, mint

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SECRET_KEY = b"f1a9d03b5c7e4862a0b1c2d3e4f56789"


def test_mint_returns_a_token_that_matches_its_key():
    key, token = mint("acme", SECRET_KEY, NOW)
    assert re.fullmatch(r"lethe_[0-9a-f]{24}_[0-9a-f]{64}", token)
    assert key_id_of(token) == key.id
    assert matches(key, token, SECRET_KEY)


def test_mint_stores_nothing_of_the_secret():
    key, token = mint("acme", SECRET_KEY, NOW)
    assert token.rpartition("_")[2] not in key.model_dump_json()


@pytest.mark.parametrize("tenant", ["", " ", "a b", ".hidden", "-x", "a\n", "ä", "a" * 65, "a/b"])
def test_mint_refuses_a_tenant_that_is_no_name(tenant):
    with pytest.raises(ValueError, match="letters, digits"):
        mint(tenant, SECRET_KEY, NOW)


@pytest.mark.parametrize("tenant", ["a", "0", "Acme.eu_west-1", "a" * 64])
def test_mint_takes_any_name(tenant):
    assert mint(tenant, SECRET_KEY, NOW)[0].tenant == tenant


def test_mint_never_repeats_itself():
    assert len({mint("acme", SECRET_KEY, NOW)[1] for _ in range(50)}) == 50


def test_matches_refuses_another_secret_under_the_same_id():
    key, token = mint("acme", SECRET_KEY, NOW)
    last = "0" if token[-1] != "0" else "1"
    assert not matches(key, token[:-1] + last, SECRET_KEY)


def test_matches_refuses_the_token_of_another_key():
    key, _ = mint("acme", SECRET_KEY, NOW)
    assert not matches(key, mint("acme", SECRET_KEY, NOW)[1], SECRET_KEY)


def test_matches_refuses_under_another_deployments_secret():
    key, token = mint("acme", SECRET_KEY, NOW)
    assert not matches(key, token, b"0" * 32)


@pytest.mark.parametrize(
    "presented", ["", "lethe_", "lethe_ab_cd", "lethe_" + "a" * 24 + "_" + "b" * 63, "x" * 99, "\N{SNOWMAN}"]
)
def test_key_id_of_is_none_for_what_is_no_token(presented):
    key, _ = mint("acme", SECRET_KEY, NOW)
    assert key_id_of(presented) is None
    assert not matches(key, presented, SECRET_KEY)
