from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from core.domain.events import EventType, NewEvent
from core.domain.identifiers import new_id
from core.domain.item_set import ItemSet
from core.domain.job import Job
from core.domain.policy import current
from core.domain.request import DeletionRequest, ItemDisposition
from core.domain.spec import JobSpec
from core.jobs.intake import Items, new_item_set, stored_with_row
from core.jobs.submission import Checked, CheckSubmission, Submission
from core.ports import Clock, ItemStore, JobQueue, JobRepository

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Submit:
    """Takes a deletion request in: checks it, stores it with its job, and tells the queue after the commit."""

    check: CheckSubmission
    jobs: JobRepository
    items: ItemStore
    queue: JobQueue
    clock: Clock
    secret: bytes

    def __call__(self, submission: Submission) -> tuple[DeletionRequest, Job]:
        """Return the stored request and its queued job.

        The texts are stored first and apart; should the row not follow, they are destroyed again, by the sweep if
        this process dies in between or cannot know whether the row followed. Once it has, the request is taken, and
        an outage loses nothing: the sweep keeps the texts and publishes the job.

        Raises:
            InvalidRequestError: one of its subclasses, naming the field; nothing was stored.
        """
        checked = self.check(submission)
        request_id = new_id("dr")
        forget = self._item_set(submission.tenant, request_id, submission.forget)
        retain = None if submission.retain is None else self._item_set(submission.tenant, request_id, submission.retain)
        item_sets = [item_set for item_set in (forget, retain) if item_set is not None]
        request, job = stored_with_row(item_sets, self.items, lambda: self._add(submission, checked, forget, retain))
        self._keep(job.id, item_sets)
        publish(job.id, jobs=self.jobs, queue=self.queue, clock=self.clock)
        return request, job

    def _keep(self, job_id: str, item_sets: Sequence[ItemSet]) -> None:
        try:
            for item_set in item_sets:
                self.items.keep(item_set.id)
        except Exception as outage:  # noqa: BLE001  # a request that is stored must not be answered as if it were not
            log.warning("the sweep will keep the texts", job_id=job_id, error=type(outage).__qualname__)

    def _item_set(self, tenant: str, request_id: str, items: Items) -> ItemSet:
        return new_item_set(items, tenant=tenant, owner=request_id, secret=self.secret, now=self.clock())

    def _add(
        self,
        submission: Submission,
        checked: Checked,
        forget: ItemSet,
        retain: ItemSet | None,
    ) -> tuple[DeletionRequest, Job]:
        now, base_model = self.clock(), checked.base_model
        job = Job(
            id=new_id("job"),
            tenant=submission.tenant,
            spec=JobSpec(
                base_model=base_model.id,
                weights_sha256=base_model.weights_sha256,
                method=submission.method,
                policy=current(submission.policy).name,
                forget_set_id=forget.id,
                retain_set_id=retain.id if retain else None,
                holdout_set_id=base_model.holdout_set_id,
                registered_retain_set_id=base_model.retain_set_id,
                general_set_id=checked.general_set_id,
            ),
            workload=checked.workload,
            created_at=now,
        )
        request = DeletionRequest(
            id=forget.owner,
            tenant=submission.tenant,
            job_id=job.id,
            base_model=base_model.id,
            external_id=submission.external_id,
            metadata=submission.metadata,
            items=tuple(ItemDisposition(item_id=item.id or "") for item in forget.items),
            created_at=now,
        )
        queued = NewEvent(type=EventType.QUEUED, message="waiting for a worker", created_at=now)
        self.jobs.add(request, job, [queued])
        return request, job


def publish(job_id: str, *, jobs: JobRepository, queue: JobQueue, clock: Clock) -> None:
    """Tell the queue about a committed job, and note that it was told.

    No outage is an error, neither of the broker nor of the database: the sweep publishes the job again, and copies are
    harmless.
    """
    try:
        queue.publish(job_id)
        jobs.mark_published(job_id, at=clock())
    except Exception as outage:  # noqa: BLE001  # what follows a commit cannot undo it, whatever goes wrong
        log.warning("the sweep will publish the job", job_id=job_id, error=type(outage).__qualname__)
