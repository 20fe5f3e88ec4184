"""Options that methods have in common, as plain data: the API validates them without torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,200}$")]
AdapterRank = Literal[4, 8, 16, 32, 64, 128]  # the exported rank is twice this, so it stays in the list vLLM serves
Initializer = Literal["fila", "kronecker_fila", "lora", "pissa", "rila"]
RetainLoss = Literal["cross_entropy", "kl", "none"]
RetainCorpus = Literal["in_distribution", "general"]
NeededItems = Literal["any", "prompt", "subject"]  # forget items: of any kind, with a prompt, with a subject


class TrainedOptions(BaseModel):
    """What every method that trains an adapter step by step can be told.

    A named method is a preset over these: its forget loss is its own, everything else is a default that a request may
    replace, so any forget loss goes with any retain loss and any initializer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)  # JSON could not store them
    needs_items: ClassVar[NeededItems] = "any"
    differentiates_twice: ClassVar[bool] = False  # a step's gradient is itself differentiated
    name: str
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
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
    forget_weight: float = Field(default=1.0, gt=0, le=1000)
    retain_weight: float = Field(default=2.0, ge=0, le=1000)
    retain_loss: RetainLoss = Field(
        default="cross_entropy", description="kl: stay close to what the base model predicts."
    )
    retain_corpus: RetainCorpus = Field(
        default="in_distribution", description="general: the base model's general corpus instead of its retain set."
    )
    self_generated: bool = Field(
        default=False, description="Where there is no retain set, use texts that the base model writes itself."
    )
    retain_bound: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Retain loss that is allowed, in nats a token: the retain weight then grows while it is exceeded.",
    )
    dual_step: float = Field(default=1.0, gt=0, le=1000, description="By how much a nat over the bound raises it.")
    initializer: Initializer = "lora"
    fisher: Literal["exact", "paper"] = Field(
        default="exact",
        description="Of fila: paper reproduces the published estimate, squared batch gradients and an absolute "
        "epsilon.",
    )
    fisher_epsilon: float | None = Field(
        default=None,
        gt=0,
        description="A share of each layer's mean retain Fisher (default 1.0, of kronecker_fila 0.01); "
        "absolute in paper mode (default 1e-5).",
    )
    fisher_retain_items: int = Field(default=512, ge=1, description="Retain rows behind the cached retain Fisher.")
    rila_beta: float = Field(default=0.7, ge=0, le=1, description="Weight of the retain covariance in RILA.")
    rila_items: int = Field(default=256, ge=1, description="Rows of each set behind RILA's and ROL's covariances.")
    rol_weight: float = Field(
        default=0.0, ge=0, le=1000, description="Weight of the penalty on outputs along retain directions (ROL)."
    )
    rol_directions: int = Field(default=128, ge=1, description="Leading retain directions that ROL keeps free.")
    sharpness_radius: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Take the forget gradient this far uphill, against relearning (SAM); 0 takes it in place.",
    )
    early_stopping: bool = True
    seed: int = Field(default=42, ge=0, le=2**31 - 1)

    @field_validator("fisher")
    @classmethod
    def _paper_is_an_estimate_of_fila(cls, chosen: str, given: ValidationInfo) -> str:
        if chosen == "paper" and given.data.get("initializer", "fila") != "fila":
            raise PydanticCustomError("no_effect", "paper is an estimate for FILA: ask for initializer fila with it")
        return chosen

    @property
    def batches_a_step(self) -> int:
        """How many batches of each set a step goes through."""
        return 1

    def planned_steps(self, num_forget: int) -> int:
        """Return the length of the schedule: epochs over the forget set, but never fewer than ``min_steps``."""
        if self.max_steps is not None:
            return self.max_steps
        per_epoch = -(-num_forget // (min(self.batch_size, num_forget) * self.batches_a_step))
        return max(self.num_epochs * per_epoch, self.min_steps)
