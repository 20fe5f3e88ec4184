from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from core.domain.events import NewEvent
from core.domain.job import Job, Lease


def job_row(job: Job) -> dict[str, Any]:
    """Return the job as columns of ``tables.jobs``, all but the event counter."""
    return {
        **job.model_dump(include={"id", "tenant", "state", "version", "stage", "attempts", "fence"}, mode="json"),
        **job.model_dump(include={"created_at", "published_at", "started_at", "finished_at"}),
        **job.model_dump(include={"spec", "workload", "progress", "error", "package", "result"}, mode="json"),
        "kind": job.spec.kind,
        "external_id": job.external_id,
        "base_model": job.spec.base_model,
        "lease_owner": job.lease and job.lease.owner,
        "lease_expires_at": job.lease and job.lease.expires_at,
    }


def job_of(row: Row[Any]) -> Job:
    """Return the job that the row holds."""
    fields = {name: getattr(row, name) for name in Job.model_fields if name != "lease"}
    lease = row.lease_owner and Lease(owner=row.lease_owner, fence=row.fence, expires_at=row.lease_expires_at)
    return Job.model_validate({**fields, "lease": lease or None})


def event_rows(job_id: str, events: Sequence[NewEvent], *, last_seq: int) -> list[dict[str, Any]]:
    """Return the events as rows of ``tables.job_events`` whose last one gets ``last_seq``."""
    first = last_seq - len(events) + 1
    return [
        {
            "job_id": job_id,
            "seq": seq,
            **event.model_dump(exclude={"created_at"}, mode="json"),
            "created_at": event.created_at,
        }
        for seq, event in enumerate(events, first)
    ]
