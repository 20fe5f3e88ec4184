from dataclasses import dataclass

from core.domain.base_model import RegisteredBaseModel
from core.domain.errors import (
    BaseModelMismatchError,
    JobNotSucceededError,
    JobWithoutAdapterError,
    NotFoundError,
    UnknownJobError,
)
from core.domain.events import EventType, NewEvent
from core.domain.identifiers import new_id
from core.domain.item_set import ItemSet
from core.domain.job import Job
from core.domain.policy import DEFAULT_POLICY, PolicyName, current
from core.domain.spec import JobSpec, ProbeSpec
from core.domain.states import JobState
from core.jobs.intake import (
    CountTokens,
    ItemCheck,
    Items,
    Limits,
    named_base_model,
    new_item_set,
    refuse_without_holdout,
    stored_with_row,
)
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
    policy: PolicyName = DEFAULT_POLICY


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
        """
        base_model = named_base_model(self.base_models, submission.base_model)
        refuse_without_holdout(submission.policy, base_model)
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
        job = self._named_job(job_id, tenant)
        if job.unlearning.base_model != base_model.id:
            raise BaseModelMismatchError("the adapter of this job belongs to another base model", param="/job_id")
        if job.package is None:
            raise JobNotSucceededError(f"the job is {job.state}: {_outlook(job.state)}", param="/job_id")
        if job.package.adapter is None:
            raise JobWithoutAdapterError(
                "the job needed no adapter, since the base model did not know its texts: leave `job_id` out",
                param="/job_id",
            )

    def _named_job(self, job_id: str, tenant: str) -> Job:
        try:
            job = self.jobs.job(job_id, tenant=tenant)
        except NotFoundError as missing:
            raise _unknown_job() from missing
        if not isinstance(job.spec, JobSpec):
            raise _unknown_job()
        return job

    def _add(self, submission: ProbeSubmission, base_model: RegisteredBaseModel, texts: ItemSet) -> Job:
        now = self.clock()
        probe = Job(
            id=texts.owner,
            tenant=submission.tenant,
            spec=ProbeSpec(
                base_model=base_model.id,
                weights_sha256=base_model.weights_sha256,
                policy=current(submission.policy).name,
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


def _unknown_job() -> UnknownJobError:
    return UnknownJobError("none of your jobs has this id; GET /v1/jobs lists them", param="/job_id")


def _outlook(state: JobState) -> str:
    if state.is_terminal or state is JobState.CANCELLING:
        return "it will never have an adapter, so name another job"
    return "wait until it has succeeded, then ask again"
