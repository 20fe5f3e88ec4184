from collections.abc import Sequence

import pytest

from core.domain.request import (
    Disposition,
    ItemDisposition,
    RequestStatus,
    disposition_at_end,
    request_status,
)
from core.domain.states import JobState
from tests.fakes.examples import a_job, a_request

DONE, KEPT, WAITING = Disposition.FORGOTTEN, Disposition.NOT_FORGOTTEN, Disposition.PENDING


def status(state: JobState, dispositions: Sequence[Disposition]) -> RequestStatus:
    items = tuple(
        ItemDisposition(item_id=f"item-{place}", disposition=disposition)
        for place, disposition in enumerate(dispositions)
    )
    return request_status(a_request(a_job()).model_copy(update={"items": items}).summary, state)


@pytest.mark.parametrize(
    ("dispositions", "expected"),
    [
        ([DONE, DONE], RequestStatus.COMPLETED),
        ([DONE, KEPT], RequestStatus.PARTLY_COMPLETED),
        ([KEPT, KEPT], RequestStatus.FAILED),
        ([WAITING, WAITING], RequestStatus.FAILED),
        ([DONE, WAITING], RequestStatus.PARTLY_COMPLETED),
    ],
)
def test_a_run_that_ended_well_completes_only_what_was_forgotten(
    dispositions: list[Disposition], expected: RequestStatus
):
    assert status(JobState.SUCCEEDED, dispositions) is expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (JobState.QUEUED, RequestStatus.QUEUED),
        (JobState.RUNNING, RequestStatus.RUNNING),
        (JobState.CANCELLING, RequestStatus.RUNNING),
        (JobState.FAILED, RequestStatus.FAILED),
        (JobState.CANCELLED, RequestStatus.CANCELLED),
    ],
)
def test_any_other_state_decides_alone(state: JobState, expected: RequestStatus):
    assert status(state, [DONE]) is expected


def test_items_of_an_unmeasured_end():
    assert disposition_at_end(JobState.CANCELLED) is Disposition.CANCELLED
    assert disposition_at_end(JobState.FAILED) is Disposition.FAILED
