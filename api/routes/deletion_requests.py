from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.answers import json_answer
from api.auth import TenantOf
from api.cursor import known_cursor
from api.dependencies import ServicesOf, SubmitOf
from api.errors import InvalidCursorError, InvalidFieldError, UnknownFieldError
from api.responses import header, refusals
from api.schemas.deletion_request import DeletionRequestBody, DeletionRequestsQuery, DeletionRequestWithItems
from api.schemas.page import ListBody
from api.submissions import BODY, REFUSALS, IncomingOf
from core.domain.errors import NotFoundError
from core.domain.job import Job
from core.domain.request import Disposition, RequestSummary
from core.ports import Page

router = APIRouter(tags=["deletion requests"])

RequestId = Annotated[str, Path(pattern=r"^dr_[0-9a-z]{1,64}$", description="Id of a deletion request.")]


@router.post(
    "/v1/deletion-requests",
    operation_id="createDeletionRequest",
    summary="Ask for texts to be forgotten",
    status_code=202,
    response_model=DeletionRequestBody,
    openapi_extra=BODY,
    responses={
        202: {"headers": {"Location": header("Where to follow the request.")}},
        **refusals(*REFUSALS),
    },
)
def create_deletion_request(incoming: IncomingOf, submit: SubmitOf) -> Response:
    """Store the request with its job and hand the job to the workers. Follow it by `job_id`."""
    request, job = submit(incoming.submission())
    body = DeletionRequestBody.of(request.summary, job)
    return json_answer(body, status=202, headers={"Location": f"/v1/deletion-requests/{request.id}"})


@router.get(
    "/v1/deletion-requests",
    operation_id="listDeletionRequests",
    summary="List deletion requests, newest first",
    responses=refusals(InvalidFieldError, UnknownFieldError, InvalidCursorError),
)
def list_deletion_requests(
    query: Annotated[DeletionRequestsQuery, Query()], tenant: TenantOf, services: ServicesOf
) -> ListBody[DeletionRequestBody]:
    """Return a page of your requests, each with the number of items in each disposition."""

    def read() -> Page[RequestSummary]:
        with known_cursor():
            return services.jobs.list_requests(
                tenant=tenant,
                after=query.after,
                limit=query.limit,
                base_model=query.base_model,
                external_id=query.external_id,
            )

    page = read()
    jobs = services.jobs.jobs_by_id({request.job_id for request in page.data})
    if any(_ended_in_between(request, jobs[request.job_id]) for request in page.data):
        page = read()
        jobs |= services.jobs.jobs_by_id({request.job_id for request in page.data} - jobs.keys())
    bodies = [DeletionRequestBody.of(request, jobs[request.job_id]) for request in page.data]
    return ListBody[DeletionRequestBody].of(bodies, has_more=page.has_more)


def _ended_in_between(request: RequestSummary, job: Job) -> bool:
    """Whether the job ended after the request was read: no item of an ended job is pending."""
    return job.state.is_terminal and request.dispositions[Disposition.PENDING] > 0


@router.get(
    "/v1/deletion-requests/{request_id}",
    operation_id="getDeletionRequest",
    summary="Read a deletion request",
    responses=refusals(NotFoundError),
)
def get_deletion_request(request_id: RequestId, tenant: TenantOf, services: ServicesOf) -> DeletionRequestWithItems:
    """Return one request with a disposition for each item."""
    request = services.jobs.request(request_id, tenant=tenant)
    job = services.jobs.job(request.job_id)
    if job.state.is_terminal:  # its end may have come between the two reads, and is in the items too
        request = services.jobs.request(request_id, tenant=tenant)
    return DeletionRequestWithItems.of(request, job)
