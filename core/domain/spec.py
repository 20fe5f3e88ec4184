from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from core.domain.base_model import BaseModelId
from core.domain.catalog import MethodOptions


class JobSpec(BaseModel):
    """What a job was asked to do: frozen at submission, stored with the job, copied into the manifest.

    It names item sets and never holds an item, so it can be shown, logged and kept after the texts are destroyed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["unlearning"] = "unlearning"
    base_model: BaseModelId
    weights_sha256: str
    method: MethodOptions
    policy: str
    forget_set_id: str
    retain_set_id: str | None  # the request's own; None: the base model's registered retain set
    holdout_set_id: str | None
    registered_retain_set_id: str | None
    general_set_id: str | None = None  # only where the method keeps on the general corpus


class ProbeSpec(BaseModel):
    """What a probe was asked, with the client's own words for it, since no deletion request stands beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["probe"] = "probe"
    base_model: BaseModelId
    weights_sha256: str
    policy: str
    item_set_id: str  # destroyed once the probe has ended
    num_items: int = Field(ge=1)
    holdout_set_id: str | None
    job_id: str | None = None  # whose adapter is put on the base model
    external_id: str | None = None
    metadata: dict[str, str] = {}


def _kind(value: Any) -> str:
    """Return what kind of spec it is. Rows that were stored before there were probes do not say."""
    return str(value.get("kind", "unlearning") if isinstance(value, dict) else getattr(value, "kind", ""))


JobKind = Literal["unlearning", "probe"]
Spec = Annotated[Annotated[JobSpec, Tag("unlearning")] | Annotated[ProbeSpec, Tag("probe")], Discriminator(_kind)]
