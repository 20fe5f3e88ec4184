from dataclasses import replace
from datetime import timedelta

import pytest

from core.domain.errors import LeaseLostError
from core.domain.states import JobState
from core.jobs.cancel import Cancel
from worker.heartbeat import Heartbeat


class Away:
    """A repository that is away."""

    def renew_lease(self, job_id, *, fence, expires_at):
        raise ConnectionError


def test_beat_moves_the_end_of_the_lease(attempts, claimed, jobs, clock):
    clock.advance(timedelta(seconds=10))

    Heartbeat(attempts, claimed, every_seconds=10).beat()

    assert jobs.job(claimed.id).lease.expires_at == clock() + timedelta(seconds=30)


def test_beat_before_its_time_asks_nobody(attempts, claimed):
    heartbeat = Heartbeat(attempts, claimed, every_seconds=3600)
    heartbeat.beat()
    attempts.lost(claimed, reason="swept")

    assert heartbeat.beat() is JobState.RUNNING


def test_beat_hears_that_the_job_is_to_stop(attempts, claimed, jobs, clock):
    Cancel(jobs, clock)(claimed.id, tenant=claimed.tenant)

    assert Heartbeat(attempts, claimed, every_seconds=10).beat() is JobState.CANCELLING


def test_outage_within_the_lease_is_outlived(attempts, claimed):
    assert Heartbeat(replace(attempts, jobs=Away()), claimed, every_seconds=0).beat() is JobState.RUNNING


def test_outage_beyond_the_lease_loses_it(attempts, claimed):
    without_lease = replace(attempts, jobs=Away(), lease=timedelta(0))

    with pytest.raises(LeaseLostError):
        Heartbeat(without_lease, claimed, every_seconds=0).beat()
