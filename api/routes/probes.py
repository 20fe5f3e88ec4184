from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api.auth import TenantOf
from api.cursor import known_cursor
from api.dependencies import CancelOf, DestroyProbedOf, ServicesOf, SettingsOf, SubmitProbeOf
from api.errors import (
    BodyTooLargeError,
    EmptyTextError,
    InvalidCursorError,
    InvalidFieldError,
    InvalidJsonError,
    InvalidTextError,
    MissingFieldError,
    UnknownFieldError,
    UnsupportedMediaTypeError,
)
from api.json_body import parse_json_object, read_json_bytes
from api.openapi import NEW_PROBE_REF
from api.responses import header, refusals
from api.schemas.event import EventBody, EventsQuery
from api.schemas.page import ListBody
from api.schemas.probe import NewProbe, ProbeBody, ProbesQuery, ProbeWithResult
from api.validation import validate_probe
from core.domain.errors import (
    ArtifactMissingError,
    BaseModelMismatchError,
    DuplicateItemError,
    HoldoutSetRequiredError,
    IllegalTransitionError,
    ItemTooLongError,
    ItemTooShortError,
    JobNotSucceededError,
    JobWithoutAdapterError,
    NotFoundError,
    StaleJobError,
    TooManyItemsError,
    UnknownBaseModelError,
    UnknownJobError,
)
from core.domain.probe import ProbeResult
from core.jobs.submit_probe import ProbeSubmission

router = APIRouter(tags=["probes"])

ProbeId = Annotated[str, Path(pattern=r"^prb_[0-9a-z]{1,64}$", description="Id of a probe.")]


async def _body_bytes(request: Request, settings: SettingsOf, _tenant: TenantOf) -> bytes:
    """Read the body; the tenant is asked for so that nobody without a key is read at all."""
    return await read_json_bytes(request, max_bytes=settings.max_body_bytes)


def _new_probe(body: Annotated[bytes, Depends(_body_bytes)]) -> NewProbe:
    """Parse the body, in a thread: a large one would hold up every other request."""
    return validate_probe(parse_json_object(body))


@router.post(
    "/v1/probes",
    operation_id="createProbe",
    summary="Ask whether texts are memorised",
    status_code=202,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": NEW_PROBE_REF}}}}
    },
    responses={
        202: {"headers": {"Location": header("Where to follow the probe.")}},
        **refusals(
            InvalidJsonError,
            BodyTooLargeError,
            UnsupportedMediaTypeError,
            MissingFieldError,
            InvalidFieldError,
            UnknownFieldError,
            EmptyTextError,
            InvalidTextError,
            UnknownBaseModelError,
            UnknownJobError,
            JobNotSucceededError,
            JobWithoutAdapterError,
            BaseModelMismatchError,
            TooManyItemsError,
            ItemTooLongError,
            ItemTooShortError,
            DuplicateItemError,
            HoldoutSetRequiredError,
        ),
    },
)
def create_probe(
    body: Annotated[NewProbe, Depends(_new_probe)], tenant: TenantOf, submit: SubmitProbeOf, response: Response
) -> ProbeBody:
    """Store the probe and hand it to the workers. Nothing is trained, and its texts are destroyed when it has ended."""
    probe = submit(
        ProbeSubmission(
            tenant=tenant,
            base_model=body.base_model,
            items=body.items,
            job_id=body.job_id,
            policy=body.policy,
            external_id=body.external_id,
            metadata=body.metadata,
        )
    )
    response.headers["Location"] = f"/v1/probes/{probe.id}"
    return ProbeBody.of(probe)


@router.get(
    "/v1/probes",
    operation_id="listProbes",
    summary="List probes, newest first",
    responses=refusals(InvalidFieldError, UnknownFieldError, InvalidCursorError),
)
def list_probes(query: Annotated[ProbesQuery, Query()], tenant: TenantOf, services: ServicesOf) -> ListBody[ProbeBody]:
    """Return a page of your probes, without their results."""
    with known_cursor():
        page = services.jobs.list_probes(
            tenant=tenant,
            after=query.after,
            limit=query.limit,
            state=query.status,
            base_model=query.base_model,
            external_id=query.external_id,
        )
    return ListBody[ProbeBody].of([ProbeBody.of(probe) for probe in page.data], has_more=page.has_more)


@router.get(
    "/v1/probes/{probe_id}",
    operation_id="getProbe",
    summary="Read a probe",
    responses=refusals(NotFoundError, ArtifactMissingError),
)
def get_probe(probe_id: ProbeId, tenant: TenantOf, services: ServicesOf) -> ProbeWithResult:
    """Return one probe as it stands now, with its result once it has succeeded."""
    probe = services.jobs.job(probe_id, tenant=tenant)
    if probe.result is None:
        return ProbeWithResult.answered(probe, None)
    return ProbeWithResult.answered(probe, ProbeResult.model_validate_json(services.artifacts.get(probe.result.key)))


@router.get(
    "/v1/probes/{probe_id}/events",
    operation_id="listProbeEvents",
    summary="Read a probe's history, oldest first",
    responses=refusals(NotFoundError, InvalidFieldError, UnknownFieldError),
)
def list_probe_events(
    probe_id: ProbeId, query: Annotated[EventsQuery, Query()], tenant: TenantOf, services: ServicesOf
) -> ListBody[EventBody]:
    """Return the events after `after_seq`, of the types that a job has. To follow a probe, pass the last `seq`."""
    services.jobs.job(probe_id, tenant=tenant)
    events = services.jobs.events(probe_id, after_seq=query.after_seq, limit=query.limit + 1)
    bodies = [EventBody.of(event) for event in events[: query.limit]]
    return ListBody[EventBody].of(bodies, has_more=len(events) > query.limit)


@router.post(
    "/v1/probes/{probe_id}/cancel",
    operation_id="cancelProbe",
    summary="Ask a probe to stop",
    status_code=202,
    responses=refusals(NotFoundError, IllegalTransitionError, StaleJobError),
)
def cancel_probe(probe_id: ProbeId, tenant: TenantOf, cancel: CancelOf, destroy: DestroyProbedOf) -> ProbeBody:
    """Return the probe, asked to stop. It is `cancelled` once nothing of it runs any more; asking twice is fine."""
    probe = cancel(probe_id, tenant=tenant)
    destroy.of(probe_id)  # one that was still queued has ended by now, and no worker will see it
    return ProbeBody.of(probe)
