import pytest
from pydantic import ValidationError

from api.settings import ApiSettings
from tests.unit.api.harness import SECRET_KEY, settings


@pytest.mark.parametrize(
    "secret",
    ["short", "change-me-change-me-change-me-change-me", "CHANGEME0123456789abcdef0123456789", "a" * 40, "abcabc" * 8],
)
def test_settings_refuse_a_placeholder_without_printing_it(secret):
    with pytest.raises(ValidationError) as refused:
        settings(secret_key=secret)
    assert secret not in str(refused.value)


def test_settings_never_print_secrets():
    printed = repr(settings(s3_secret_access_key="s3-very-private", broker_url="redis://:broker-private@host"))
    assert SECRET_KEY not in printed
    assert "private" not in printed


def test_settings_come_from_the_environment(monkeypatch):

    monkeypatch.setenv("LETHE_DATABASE_URL", "sqlite:////db")
    monkeypatch.setenv("LETHE_BROKER_URL", "redis://broker")
    monkeypatch.setenv("LETHE_STORE_URL", "file:///store")
    monkeypatch.setenv("LETHE_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("LETHE_MAX_FORGET_ITEMS", "7")
    found = ApiSettings()
    assert (found.max_forget_items, found.max_retain_items) == (7, 10_000)
    assert found.secret_bytes == SECRET_KEY.encode()
