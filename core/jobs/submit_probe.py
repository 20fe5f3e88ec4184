from dataclasses import dataclass

from core.domain.base_model import RegisteredBaseModel
from core.domain.errors import BaseModelMismatchError, NoAdapterError, NotFoundError, NotReadyError
from core.domain.events import EventType, NewEvent
from core.domain.identifiers import new_id
from core.domain.item_set import ItemSet
from core.domain.job import Job
from core.domain.policy import DEFAULT_POLICY, current
from core.domain.spec import JobSpec, ProbeSpec
from core.jobs.intake import CountTokens, ItemCheck, Items, Limits, named_base_model, new_item_set, stored_with_row
from core.jobs.submit import publish
from core.ports import BaseModelRepository, Clock, ItemStore, JobQueue, JobRepository


@dataclass(frozen=True)
class ProbeSubmission:
    """What one client asks to be probed, already well-formed."""

    tenant: str
    base_model: str
    items: Items
    job_id: str | None
    external_id: str | None
    metadata: dict[str, str]


@dataclass(frozen=True)
class SubmitProbe:
    """Takes a probe in: checks it as a deletion request, stores it, and tells the queue after the commit.

    Its texts are never marked as kept: they stay provisional, so that the sweep goes on asking whether the probe needs
    them (see :class:`core.jobs.destroy_probed.DestroyProbed`).
    """

    jobs: JobRepository
    base_models: BaseModelRepository
    items: ItemStore
    queue: JobQueue
    clock: Clock
    limits: Limits
    count_tokens: CountTokens
    secret: bytes

    def __call__(self, submission: ProbeSubmission) -> Job:
        """Return the stored and queued probe.

        Raises:
            InvalidRequestError: one of its subclasses, naming the field; nothing was stored.
            NotFoundError: no such job for this tenant; it names the field.
            NotReadyError: the job has not succeeded.
            NoAdapterError: the job succeeded without training anything.
        """
        base_model = named_base_model(self.base_models, submission.base_model)
        if submission.job_id is not None:
            self._check_adapter(submission.job_id, submission.tenant, base_model)
        check = ItemCheck(base_model, self.limits.max_item_characters, self.count_tokens)
        check("/items", submission.items, max_items=self.limits.max_forget_items)
        texts = new_item_set(
            submission.items, tenant=submission.tenant, owner=new_id("prb"), secret=self.secret, now=self.clock()
        )
        probe = stored_with_row([texts], self.items, lambda: self._add(submission, base_model, texts))
        publish(probe.id, jobs=self.jobs, queue=self.queue, clock=self.clock)
        return probe

    def _check_adapter(self, job_id: str, tenant: str, base_model: RegisteredBaseModel) -> None:
        try:
            job = self.jobs.job(job_id, tenant=tenant)
        except NotFoundError as missing:
            raise NotFoundError(str(missing), param="/job_id") from missing
        if not isinstance(job.spec, JobSpec):
            raise NotFoundError(f"{job_id} is no unlearning run", param="/job_id")
        if job.spec.base_model != base_model.id:
            raise BaseModelMismatchError("the adapter of this job belongs to another base model", param="/job_id")
        if job.package is None:
            raise NotReadyError(f"the job of `job_id` is {job.state}; its adapter exists once it has succeeded")
        if job.package.adapter is None:
            raise NoAdapterError(f"job {job_id} needed no adapter")

    def _add(self, submission: ProbeSubmission, base_model: RegisteredBaseModel, texts: ItemSet) -> Job:
        now = self.clock()
        probe = Job(
            id=texts.owner,
            tenant=submission.tenant,
            spec=ProbeSpec(
                base_model=base_model.id,
                weights_sha256=base_model.weights_sha256,
                policy=current(DEFAULT_POLICY).name,
                item_set_id=texts.id,
                num_items=len(texts.items),
                holdout_set_id=base_model.holdout_set_id,
                job_id=submission.job_id,
                external_id=submission.external_id,
                metadata=submission.metadata,
            ),
            created_at=now,
        )
        queued = NewEvent(type=EventType.QUEUED, message="waiting for a worker", created_at=now)
        self.jobs.add_probe(probe, [queued])
        return probe
