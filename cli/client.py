from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from cli.errors import CommandError, UnansweredError
from cli.settings import ClientSettings
from core.domain.states import JobState

_READS = ConfigDict(frozen=True, extra="ignore")  # the contract grows by addition
_AWAY = frozenset({502, 503, 504})  # a proxy says so while the API behind it restarts


class Progress(BaseModel):
    """How far the present stage is."""

    model_config = _READS
    step: int
    total_steps: int
    eta_seconds: float | None


class Failure(BaseModel):
    """Why a job failed."""

    model_config = _READS
    code: str
    message: str


class JobView(BaseModel):
    """A job as the API shows it."""

    model_config = _READS
    id: str
    status: str
    stage: str | None
    is_terminal: bool
    progress: Progress
    attempts: int
    error: Failure | None
    has_adapter: bool | None = None  # None: an API that does not say yet

    @property
    def needed_no_action(self) -> bool:
        """Whether the job found that the base model does not know the texts, so that nothing was trained."""
        return self.status == JobState.SUCCEEDED and self.has_adapter is False


class EventView(BaseModel):
    """An event as the API shows it."""

    model_config = _READS
    seq: int
    type: str
    level: Literal["info", "warning", "error"]
    message: str
    data: dict[str, str | int | float | bool | None]
    created_at: str


class SubmittedView(BaseModel):
    """A deletion request as the API answers its submission."""

    model_config = _READS
    id: str
    job_id: str
    status: str


class RangeView(BaseModel):
    """A duration in seconds or a size in bytes as the API shows it, as far as it is known."""

    model_config = _READS
    low: float | None
    likely: float | None
    high: float | None


class BasisView(BaseModel):
    """What an estimate was made from as the API shows it."""

    model_config = _READS
    measurements: int
    device: str
    same_base_model: bool
    same_method_and_policy: bool


class EstimateView(BaseModel):
    """An estimate as the API shows it."""

    model_config = _READS
    duration_seconds: RangeView | None
    start_seconds: RangeView | None
    peak_memory_bytes: RangeView | None
    device_memory_bytes: int | None
    queue_wait_seconds: float | None
    steps: int | None
    stages: dict[str, float]
    based_on: BasisView | None
    absent: dict[str, str]


class ProbedItemView(BaseModel):
    """An item of a probe as the API shows it."""

    model_config = _READS
    id: str
    memorised: bool | None
    metrics: dict[str, float]


class ProbeLimitView(BaseModel):
    """A limit of a probe as the API shows it."""

    model_config = _READS
    metric: str
    at_most: float
    source: str


class ProbeThresholdsView(BaseModel):
    """The limits of a probe as the API shows them."""

    model_config = _READS
    limits: tuple[ProbeLimitView, ...]


class ProbeTotalsView(BaseModel):
    """The totals of a probe as the API shows them."""

    model_config = _READS
    num_items: int
    memorised: int
    by_chance: int | None


class ProbeResultView(BaseModel):
    """The result of a probe as the API shows it."""

    model_config = _READS
    items: tuple[ProbedItemView, ...]
    totals: ProbeTotalsView
    thresholds: ProbeThresholdsView
    caveats: tuple[str, ...]


class ProbeView(BaseModel):
    """A probe as the API shows it."""

    model_config = _READS
    id: str
    status: str
    stage: str | None
    is_terminal: bool
    error: Failure | None
    result: ProbeResultView | None = None  # absent from the answer to a submission


class _Events(BaseModel):
    model_config = _READS
    data: tuple[EventView, ...]


class _Problem(BaseModel):
    model_config = _READS
    detail: str
    code: str
    param: str | None = None
    retryable: bool = False


@dataclass(frozen=True)
class ApiClient:
    """The few calls of the HTTP contract that the commands make.

    Raises:
        UnansweredError: by every call: nobody answered, or the same call may succeed later.
        CommandError: by every call: the API refused.
    """

    http: httpx.Client

    def submit(self, body: Mapping[str, object]) -> SubmittedView:
        """File a deletion request."""
        return SubmittedView.model_validate_json(self._send("POST", "/v1/deletion-requests", body))

    def estimate(self, body: Mapping[str, object]) -> EstimateView:
        """Ask what a deletion request would take; nothing is filed."""
        return EstimateView.model_validate_json(self._send("POST", "/v1/estimates", body))

    def job(self, job_id: str) -> JobView:
        """Return the job as it stands."""
        return JobView.model_validate_json(self._send("GET", f"/v1/jobs/{job_id}"))

    def events(self, job_id: str, *, after_seq: int) -> Sequence[EventView]:
        """Return the next events after this one."""
        return _Events.model_validate_json(self._send("GET", f"/v1/jobs/{job_id}/events?after_seq={after_seq}")).data

    def cancel(self, job_id: str) -> JobView:
        """Ask the job to stop and return it as it stands; it may be asked again and again."""
        return JobView.model_validate_json(self._send("POST", f"/v1/jobs/{job_id}/cancel"))

    def submit_probe(self, body: Mapping[str, object]) -> ProbeView:
        """Ask whether texts are memorised."""
        return ProbeView.model_validate_json(self._send("POST", "/v1/probes", body))

    def probe(self, probe_id: str) -> ProbeView:
        """Return the probe as it stands, with its result once it has one."""
        return ProbeView.model_validate_json(self._send("GET", f"/v1/probes/{probe_id}"))

    def _send(self, method: str, path: str, body: Mapping[str, object] | None = None) -> bytes:
        try:
            response = self.http.request(method, path, json=body)
        except httpx.TransportError as away:
            raise UnansweredError(f"no answer from {self.http.base_url}: is `lethe serve` running there?") from away
        if response.is_success:
            return response.content
        raise _refusal(response)


def open_client(*, url: str | None, key: str | None) -> ApiClient:
    """Return a client of the API at the URL, by the key; what is None comes from the environment.

    Raises:
        CommandError: there is no key.
    """
    settings = ClientSettings()
    secret = key or (settings.api_key.get_secret_value() if settings.api_key else None)
    if secret is None:
        raise CommandError("an API key is needed: --key or LETHE_API_KEY; `lethe keys create` makes one")
    headers = {"Authorization": f"Bearer {secret}"}
    return ApiClient(httpx.Client(base_url=url or settings.api_url, headers=headers, timeout=30))


def _refusal(response: httpx.Response) -> CommandError:
    try:
        problem = _Problem.model_validate_json(response.content)
    except ValidationError:
        kind = UnansweredError if response.status_code in _AWAY else CommandError
        return kind(f"HTTP {response.status_code} from {response.url}")
    where = f" at {problem.param}" if problem.param else ""
    kind = UnansweredError if problem.retryable else CommandError
    return kind(f"{problem.code}{where}: {problem.detail}")
