import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.backends.storage.key import require_key


@given(st.from_regex(r"[A-Za-z0-9_-]{1,9}(\.[a-z]{1,4})?(/[A-Za-z0-9_-]{1,9}){0,3}", fullmatch=True))
def test_names_with_slashes_between_are_keys(key: str):
    assert require_key(key) == key


@pytest.mark.parametrize("key", [".probe", "...", "..a", "a..b/c.", "a/.b"])
def test_dots_are_letters_unless_alone(key: str):
    assert require_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "/", "a/", "/a", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\n", "a b", "ä", "a\\b"]
)
def test_anything_else_is_refused(key: str):
    with pytest.raises(ValueError, match="no artifact key"):
        require_key(key)
