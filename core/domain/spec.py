from pydantic import BaseModel, ConfigDict

from core.domain.base_model import BaseModelId
from core.domain.catalog import MethodOptions


class JobSpec(BaseModel):
    """What a job was asked to do: frozen at submission, stored with the job, copied into the manifest.

    It names item sets and never holds an item, so it can be shown, logged and kept after the texts are destroyed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    base_model: BaseModelId
    weights_sha256: str
    method: MethodOptions
    policy: str
    forget_set_id: str
    retain_set_id: str | None  # the request's own; None: the base model's registered retain set
    holdout_set_id: str | None
    registered_retain_set_id: str | None
    general_set_id: str | None = None  # only where the method keeps on the general corpus
