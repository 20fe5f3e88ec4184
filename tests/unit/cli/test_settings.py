import pytest
from pydantic import ValidationError

from cli.settings import DeploymentSettings

URLS = {"database_url": "sqlite:////lethe.db", "store_url": "file:///artifacts"}


@pytest.mark.parametrize("secret", ["short", "change-me-change-me-change-me-change-me", "a" * 40])
def test_settings_refuse_a_placeholder_without_printing_it(secret):
    with pytest.raises(ValidationError) as refused:
        DeploymentSettings(**URLS, secret_key=secret)

    assert secret not in str(refused.value)
