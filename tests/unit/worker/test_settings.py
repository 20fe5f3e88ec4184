import pytest
from pydantic import ValidationError

from worker.settings import WorkerSettings

URLS = {"database_url": "sqlite:////lethe.db", "broker_url": "redis://broker", "store_url": "file:///artifacts"}


def test_heartbeat_is_a_third_of_a_short_lease_and_never_slow():
    assert WorkerSettings(**URLS, lease_seconds=3, cancel_grace_seconds=1).heartbeat_seconds == 1.0
    assert WorkerSettings(**URLS, lease_seconds=600).heartbeat_seconds == 2.0


def test_grace_that_outlasts_the_lease_is_refused():
    with pytest.raises(ValidationError, match="LETHE_CANCEL_GRACE_SECONDS"):
        WorkerSettings(**URLS, lease_seconds=6, cancel_grace_seconds=5)


def test_secrets_are_not_shown():
    settings = WorkerSettings(**{**URLS, "database_url": "postgresql://lethe:hunter2@database/lethe"})

    assert "hunter2" not in repr(settings)
