from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from core.domain.spec import JobSpec, ProbeSpec, Spec
from core.domain.states import JobState, require_transition
from core.domain.workload import Workload

_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Stage(StrEnum):
    """What a running job does at the moment, in the order of the recipe."""

    PREPARE = "prepare"
    BASELINE = "baseline"
    FISHER = "fisher"
    INITIALIZE = "initialize"
    TRAIN = "train"
    EVALUATE = "evaluate"
    ATTACK = "attack"
    PACKAGE = "package"


class Progress(BaseModel):
    """How far the present stage is. ``eta_seconds`` is None until there is something to extrapolate from."""

    model_config = _FROZEN
    step: int = Field(default=0, ge=0)
    total_steps: int = Field(default=0, ge=0)
    eta_seconds: float | None = Field(default=None, ge=0)

    @property
    def percent(self) -> float:
        """Share of the stage's steps that are done, 0 to 100."""
        return round(100 * self.step / self.total_steps, 1) if self.total_steps else 0.0

    def done(self) -> Self:
        """Return the progress with nothing left; a stage that counts no steps is one step long."""
        steps = max(self.total_steps, 1)
        return self.model_copy(update={"step": steps, "total_steps": steps, "eta_seconds": None})


class Lease(BaseModel):
    """The right to run a job until ``expires_at``. ``fence`` grows with every claim, so an old holder is recognised."""

    model_config = _FROZEN
    owner: str
    fence: int = Field(ge=1)
    expires_at: AwareDatetime


class PublicError(BaseModel):
    """Why a job failed, in words that may leave the service."""

    model_config = _FROZEN
    code: str
    message: str


class StoredFile(BaseModel):
    """A file of the package in the artifact store."""

    model_config = _FROZEN
    key: str
    sha256: str
    size: int = Field(ge=0)


class Package(BaseModel):
    """What a succeeded job delivers."""

    model_config = _FROZEN
    adapter: StoredFile | None  # None: no action was needed, so nothing was trained
    report_json: StoredFile
    report_html: StoredFile


class Job(BaseModel):
    """One run on a worker, unlearning or probe. Immutable: a change is a new value, and the repository swaps it in.

    ``version`` counts transitions and is what the swap compares. ``fence`` outlives the lease, so that
    a claim after a lost lease still gets a larger one.
    """

    model_config = _FROZEN
    id: str
    tenant: str
    spec: Spec
    workload: Workload | None = None  # None: a probe, or not known
    state: JobState = JobState.QUEUED
    version: int = 0
    stage: Stage | None = None
    progress: Progress = Progress()
    attempts: int = 0
    fence: int = 0
    lease: Lease | None = None
    error: PublicError | None = None
    package: Package | None = None
    result: StoredFile | None = None  # of a probe that succeeded, as a package is of an unlearning run
    created_at: AwareDatetime
    published_at: AwareDatetime | None = None  # when the queue last took its message
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None

    @property
    def unlearning(self) -> JobSpec:
        """The spec of a job that is known to be an unlearning run, by its id or by where it was listed."""
        if not isinstance(self.spec, JobSpec):
            raise TypeError(f"{self.id} is no unlearning run")
        return self.spec

    @property
    def probe(self) -> ProbeSpec:
        """The spec of a job that is known to be a probe."""
        if not isinstance(self.spec, ProbeSpec):
            raise TypeError(f"{self.id} is no probe")
        return self.spec

    @property
    def external_id(self) -> str | None:
        """The client's name for a probe. That of an unlearning run is in the requests that it serves."""
        return self.spec.external_id if isinstance(self.spec, ProbeSpec) else None

    def claimed(self, *, owner: str, now: datetime, expires_at: datetime) -> Self:
        """Return the job as running under a new lease; the attempt is counted here, whatever becomes of it."""
        require_transition(self.state, JobState.RUNNING)
        fence = self.fence + 1
        return self._changed(
            state=JobState.RUNNING,
            attempts=self.attempts + 1,
            fence=fence,
            lease=Lease(owner=owner, fence=fence, expires_at=expires_at),
            stage=None,
            progress=Progress(),
            started_at=self.started_at or now,
        )

    def requeued(self, *, count_attempt: bool) -> Self:
        """Return the job as queued again. An orderly hand-back (a worker that was asked to stop) costs no attempt."""
        require_transition(self.state, JobState.QUEUED)
        attempts = self.attempts if count_attempt else self.attempts - 1
        return self._changed(
            state=JobState.QUEUED, lease=None, stage=None, progress=Progress(), attempts=attempts, published_at=None
        )

    def cancelling(self) -> Self:
        """Return the job as asked to stop; its lease stays, for its process still runs."""
        require_transition(self.state, JobState.CANCELLING)
        return self._changed(state=JobState.CANCELLING)

    def ended(
        self,
        state: Literal[JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED],
        *,
        now: datetime,
        error: PublicError | None = None,
        package: Package | None = None,
        result: StoredFile | None = None,
    ) -> Self:
        """Return the job in a terminal state, without lease.

        One that succeeded is in no stage and all done; any other keeps how far it was, which helps to say why.
        """
        require_transition(self.state, state)
        ended = self._changed(state=state, lease=None, finished_at=now, error=error, package=package, result=result)
        if state is not JobState.SUCCEEDED:
            return ended
        return ended.model_copy(update={"stage": None, "progress": self.progress.done()})

    def _changed(self, **changes: object) -> Self:
        return self.model_copy(update={**changes, "version": self.version + 1})
