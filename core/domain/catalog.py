"""What a client may choose, as plain data: the API validates it without torch.

Each name here has an entry in ``core.unlearning.methods.METHODS``; a test compares the two tables.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,200}$")]
AdapterRank = Literal[4, 8, 16, 32, 64, 128]  # the exported rank is twice this, so it stays in the list vLLM serves


class LokuOptions(BaseModel):
    """LoKU: inverted hinge loss on an adapter initialised by Fisher-weighted low-rank approximation.

    Source: Cha et al., ICLR 2025 (arXiv 2408.06621). Where a default differs from the paper's, the README section of
    ``core/unlearning`` says why and by which measurement.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)  # JSON could not store them
    name: Literal["loku"] = "loku"
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    num_epochs: int = Field(default=10, ge=1, le=100)
    max_steps: int | None = Field(default=None, ge=1, le=100_000, description="Overrides num_epochs when given.")
    min_steps: int = Field(
        default=120, ge=1, le=100_000, description="Short forget sets are passed more often, up to this."
    )
    warmup_ratio: float = Field(default=0.1, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    max_grad_norm: float = Field(default=1.0, gt=0)
    batch_size: int = Field(default=32, ge=1, le=1024, description="Rows of each set a step, forget and retain.")
    r: AdapterRank = Field(default=16, description="Rank of the trained pair; the exported adapter has rank 2r.")
    lora_alpha: float = Field(default=32.0, gt=0, le=4096)
    target_modules: Annotated[list[ModuleName], Field(min_length=1)] | Literal["all-linear"] = "all-linear"
    retain_weight: float = Field(default=2.0, ge=0, le=1000)
    initializer: Literal["fila", "lora"] = "fila"
    fisher: Literal["exact", "paper"] = Field(
        default="exact",
        description="paper reproduces the published estimate: squared batch gradients and an absolute epsilon.",
    )
    fisher_epsilon: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="A share of each matrix's mean retain Fisher (default 1.0); absolute in paper mode (default 1e-5).",
    )
    fisher_retain_items: int = Field(default=512, ge=1, description="Retain rows behind the cached retain Fisher.")
    early_stopping: bool = True
    seed: int = Field(default=42, ge=0, le=2**31 - 1)


# With one method there is nothing to discriminate; further methods join this union by their ``name``.
MethodOptions = Annotated[LokuOptions, Field()]

METHOD_OPTIONS: dict[str, type[LokuOptions]] = {"loku": LokuOptions}
DEFAULT_METHOD = "loku"
