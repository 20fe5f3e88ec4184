from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.answers import json_answer
from api.auth import CallerOf, TenantOf
from api.cursor import known_cursor
from api.dependencies import CancelOf, ServicesOf
from api.errors import InvalidCursorError, InvalidFieldError, UnknownFieldError
from api.responses import refusals
from api.schemas.event import EventBody, EventsQuery
from api.schemas.job import JobBody, JobsQuery
from api.schemas.page import ListBody
from core.domain.errors import IllegalTransitionError, NotFoundError, StaleJobError

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(pattern=r"^job_[0-9a-z]{1,64}$", description="Id of a job.")]


@router.get(
    "/v1/jobs",
    operation_id="listJobs",
    summary="List jobs, newest first",
    responses=refusals(InvalidFieldError, UnknownFieldError, InvalidCursorError),
)
def list_jobs(query: Annotated[JobsQuery, Query()], tenant: TenantOf, services: ServicesOf) -> ListBody[JobBody]:
    """Return a page of your jobs."""
    with known_cursor():
        page = services.jobs.list_jobs(
            tenant=tenant, after=query.after, limit=query.limit, state=query.status, base_model=query.base_model
        )
    return ListBody[JobBody].of([JobBody.of(job) for job in page.data], has_more=page.has_more)


@router.get(
    "/v1/jobs/{job_id}",
    operation_id="getJob",
    summary="Read a job",
    response_model=JobBody,
    responses=refusals(NotFoundError),
)
def get_job(job_id: JobId, caller: CallerOf) -> Response:
    """Return one job as it stands now."""
    return json_answer(JobBody.of(caller.services.jobs.job(job_id, tenant=caller.tenant())))


@router.get(
    "/v1/jobs/{job_id}/events",
    operation_id="listJobEvents",
    summary="Read a job's history, oldest first",
    responses=refusals(NotFoundError, InvalidFieldError, UnknownFieldError),
)
def list_job_events(
    job_id: JobId, query: Annotated[EventsQuery, Query()], tenant: TenantOf, services: ServicesOf
) -> ListBody[EventBody]:
    """Return the events after `after_seq`. To follow a job, pass the last `seq` that you have seen."""
    services.jobs.job(job_id, tenant=tenant)
    events = services.jobs.events(job_id, after_seq=query.after_seq, limit=query.limit + 1)
    bodies = [EventBody.of(event) for event in events[: query.limit]]
    return ListBody[EventBody].of(bodies, has_more=len(events) > query.limit)


@router.post(
    "/v1/jobs/{job_id}/cancel",
    operation_id="cancelJob",
    summary="Ask a job to stop",
    status_code=202,
    responses=refusals(NotFoundError, IllegalTransitionError, StaleJobError),
)
def cancel_job(job_id: JobId, tenant: TenantOf, cancel: CancelOf) -> JobBody:
    """Return the job, asked to stop. It is `cancelled` only once nothing of it runs any more; asking twice is fine."""
    return JobBody.of(cancel(job_id, tenant=tenant))
