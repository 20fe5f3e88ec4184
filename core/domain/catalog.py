"""What a client may choose, as plain data: the API validates it without torch.

Each name here has an entry in ``core.unlearning.methods.METHODS``; a test compares the two tables.
"""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from core.domain.options import (
    AdapterRank,
    Initializer,
    NeededItems,
    RetainCorpus,
    RetainLoss,
    TrainedOptions,
)

Beta = Annotated[float, Field(gt=0, le=1000)]


class LokuOptions(TrainedOptions):
    """Inverted hinge loss on an adapter initialised by relative Fisher information (LoKU).

    Source: Cha et al., ICLR 2025 (arXiv 2408.06621); ``initializer="fila"`` is the start as published. Where a default
    differs from the paper's, the README section of ``core/unlearning`` says why and by which measurement.
    """

    name: Literal["loku"] = "loku"
    initializer: Initializer = "kronecker_fila"


class IhlOptions(TrainedOptions):
    """Inverted hinge loss on a plain LoRA."""

    name: Literal["ihl"] = "ihl"


class GaFilaOptions(TrainedOptions):
    """Gradient ascent on a FILA-initialised adapter, without a retain loss."""

    name: Literal["ga_fila"] = "ga_fila"
    initializer: Initializer = "fila"
    retain_loss: RetainLoss = "none"
    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    early_stopping: Literal[True] = True


class GdFilaOptions(TrainedOptions):
    """Gradient difference on a FILA-initialised adapter."""

    name: Literal["gd_fila"] = "gd_fila"
    initializer: Initializer = "fila"
    early_stopping: Literal[True] = True


class RegluOptions(TrainedOptions):
    """Inverted hinge loss on an adapter initialised from feature covariances, kept out of the retain directions."""

    name: Literal["reglu"] = "reglu"
    initializer: Initializer = "rila"
    rol_weight: float = Field(default=0.5, ge=0, le=1000)


class GdRilaOptions(TrainedOptions):
    """Gradient difference on a RILA-initialised adapter."""

    name: Literal["gd_rila"] = "gd_rila"
    initializer: Initializer = "rila"
    early_stopping: Literal[True] = True


class GradientAscentOptions(TrainedOptions):
    """Gradient ascent on the forget set alone."""

    name: Literal["gradient_ascent"] = "gradient_ascent"
    retain_loss: RetainLoss = "none"
    early_stopping: Literal[True] = True


class RandomLabelsOptions(TrainedOptions):
    """Fine-tuning on the forget texts with every label drawn at random, once."""

    name: Literal["random_labels"] = "random_labels"
    retain_loss: RetainLoss = "none"


class AdversarialLabelsOptions(TrainedOptions):
    """Fine-tuning on the forget texts with the base model's best wrong token as every label."""

    name: Literal["adversarial_labels"] = "adversarial_labels"
    retain_loss: RetainLoss = "none"


class GaGdInDistributionOptions(TrainedOptions):
    """Gradient ascent with descent on the retain set."""

    name: Literal["ga_gd_in_distribution"] = "ga_gd_in_distribution"
    early_stopping: Literal[True] = True


class GaGdGeneralOptions(TrainedOptions):
    """Gradient ascent with descent on the general corpus."""

    name: Literal["ga_gd_general"] = "ga_gd_general"
    retain_corpus: RetainCorpus = "general"
    early_stopping: Literal[True] = True


class GaKlInDistributionOptions(TrainedOptions):
    """Gradient ascent, staying close to the base model's predictions on the retain set."""

    name: Literal["ga_kl_in_distribution"] = "ga_kl_in_distribution"
    retain_loss: RetainLoss = "kl"
    early_stopping: Literal[True] = True


class GaKlGeneralOptions(TrainedOptions):
    """Gradient ascent, staying close to the base model's predictions on the general corpus."""

    name: Literal["ga_kl_general"] = "ga_kl_general"
    retain_loss: RetainLoss = "kl"
    retain_corpus: RetainCorpus = "general"
    early_stopping: Literal[True] = True


class NpoOptions(TrainedOptions):
    """Negative preference optimisation."""

    name: Literal["npo"] = "npo"
    beta: Beta = 0.1


class SimNpoOptions(TrainedOptions):
    """Negative preference optimisation without a reference model, by length-normalised likelihoods."""

    name: Literal["simnpo"] = "simnpo"
    beta: Beta = 1.0
    delta: float = Field(default=0.0, ge=0, le=100, description="Margin on the mean loss of a token, in nats.")


class DpoIdkOptions(TrainedOptions):
    """Direct preference optimisation of "I don't know" over the answer."""

    needs_items: ClassVar[NeededItems] = "prompt"
    name: Literal["dpo_idk"] = "dpo_idk"
    beta: Beta = 0.02


class RmuOptions(TrainedOptions):
    """Representation misdirection: hidden states of forget texts move to a fixed random direction."""

    name: Literal["rmu"] = "rmu"
    layer: int | None = Field(default=None, ge=0, le=1000, description="Decoder layer; default: half of the depth.")
    steering: float = Field(
        default=2.0, gt=0, le=1e6, description="Length of the target, in mean lengths of the hidden states."
    )


class UndialOptions(TrainedOptions):
    """Self-distillation from the base model's own logits with the true token's lowered."""

    name: Literal["undial"] = "undial"
    beta: Beta = Field(default=10.0, description="How much the true token's logit is lowered.")
    retain_loss: RetainLoss = "none"


class WgaOptions(TrainedOptions):
    """Gradient ascent weighted by the token's probability, so that forgotten tokens are left alone."""

    name: Literal["wga"] = "wga"
    beta: Beta = 1.0
    early_stopping: Literal[True] = True


class SatImpOptions(TrainedOptions):
    """Gradient ascent weighted by saturation and importance."""

    name: Literal["satimp"] = "satimp"
    saturation: float = Field(default=1.0, ge=0, le=1000)
    importance: float = Field(default=0.5, ge=0, le=1000)
    forget_weight: float = Field(default=5.0, gt=0, le=1000)
    early_stopping: Literal[True] = True


class MaxEntropyOptions(TrainedOptions):
    """Predictions on the forget texts become uniform."""

    name: Literal["max_entropy"] = "max_entropy"


class CeUOptions(TrainedOptions):
    """Cross-entropy against the model's own distribution without the true token."""

    name: Literal["ce_u"] = "ce_u"
    retain_loss: RetainLoss = "none"


class PduOptions(TrainedOptions):
    """Flat logits on the forget texts, with a retain loss that must stay under a bound (primal-dual)."""

    name: Literal["pdu"] = "pdu"
    retain_loss: Literal["cross_entropy", "kl"] = "kl"
    forget_weight: float = Field(default=0.02, gt=0, le=1000, description="Squared logits are in the hundreds.")
    retain_weight: float = Field(default=1.0, ge=0, le=1000, description="Where the dual variable starts.")
    retain_bound: float | None = Field(default=0.1, ge=0, le=100)


class SamNpoOptions(TrainedOptions):
    """Negative preference optimisation at the sharpest point nearby, which relearning finds harder to undo."""

    name: Literal["sam_npo"] = "sam_npo"
    beta: Beta = 0.1
    sharpness_radius: float = Field(default=0.01, gt=0, le=10)


class OfmuOptions(TrainedOptions):
    """Bi-level unlearning: inner steps that forget, then an outer step that keeps and penalises a steep inner loss."""

    differentiates_twice: ClassVar[bool] = True
    name: Literal["ofmu"] = "ofmu"
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    min_steps: int = Field(default=60, ge=1, le=100_000, description="As of any method, but its steps are dearer.")
    forget_loss: Literal["inverted_hinge", "cross_entropy"] = Field(
        default="inverted_hinge", description="cross_entropy is unbounded: only a stop check ends it."
    )
    inner_steps: int = Field(default=5, ge=1, le=100, description="Steps that forget, before each that keeps.")
    inner_learning_rate: float = Field(
        default=1e-4, gt=0, le=1, description="By how much an inner step moves an entry, in the root mean square."
    )
    similarity_weight: float = Field(
        default=0.01, ge=0, le=1000, description="Weight of the angle between the forget and the retain gradient."
    )
    penalty: float = Field(default=0.001, ge=0, le=1000, description="Weight of the squared inner gradient at first.")
    penalty_growth: float = Field(default=1.02, ge=1, le=10, description="By what it is multiplied each step.")
    retain_loss: Literal["cross_entropy", "kl"] = "cross_entropy"
    sharpness_radius: float = Field(default=0.0, ge=0, le=0, description="Not in combination with this method.")

    @field_validator("forget_loss")
    @classmethod
    def _unbounded_needs_stop_checks(cls, chosen: str, given: ValidationInfo) -> str:
        if chosen == "cross_entropy" and not given.data.get("early_stopping", True):
            raise PydanticCustomError("unbounded_loss", "cross_entropy has no end of its own: leave early_stopping on")
        return chosen

    @property
    def batches_a_step(self) -> int:
        """Those of the inner steps and the outer one's."""
        return self.inner_steps + 1


class LawOptions(BaseModel):
    """Edit of MLP down-projections that washes facts away in closed form, without training (LAW)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    needs_items: ClassVar[NeededItems] = "subject"
    name: Literal["law"] = "law"
    layers: Annotated[list[Annotated[int, Field(ge=0, le=1000)]], Field(min_length=1)] | None = Field(
        default=None, description="Decoder layers to edit, from 0; default: a few that end at a third of the depth."
    )
    r: AdapterRank = Field(default=16, description="The exported adapter has rank 2r; facts beyond that are merged.")
    moment_items: int = Field(default=512, ge=1, description="Retain rows behind the cached second moments.")
    contexts: int = Field(default=5, ge=0, le=5, description="Texts that each prompt is put behind, besides alone.")
    target_steps: int = Field(default=25, ge=1, le=1000, description="Steps towards each fact's new hidden state.")
    norm_limit: float = Field(
        default=0.75, gt=0, le=100, description="Largest edit by the closed form, as a share of the weight's norm."
    )
    beta_ratio: float = Field(default=1.1, ge=1, le=100, description="Disturbance allowed over the closed form's.")
    edit_steps: int = Field(default=50, ge=0, le=10_000, description="Steps of ascent from the closed form.")
    early_stopping: bool = Field(default=True, description="Scale the edit down to what the thresholds ask for.")
    self_generated: bool = Field(
        default=False, description="Where there is no retain set, use texts that the base model writes itself."
    )
    seed: int = Field(default=42, ge=0, le=2**31 - 1)


MethodOptions = Annotated[
    LokuOptions
    | IhlOptions
    | GaFilaOptions
    | GdFilaOptions
    | RegluOptions
    | GdRilaOptions
    | GradientAscentOptions
    | RandomLabelsOptions
    | AdversarialLabelsOptions
    | GaGdInDistributionOptions
    | GaGdGeneralOptions
    | GaKlInDistributionOptions
    | GaKlGeneralOptions
    | NpoOptions
    | SimNpoOptions
    | DpoIdkOptions
    | RmuOptions
    | UndialOptions
    | WgaOptions
    | SatImpOptions
    | MaxEntropyOptions
    | CeUOptions
    | PduOptions
    | SamNpoOptions
    | OfmuOptions
    | LawOptions,
    Field(discriminator="name"),
]

METHOD_OPTIONS: dict[str, type[MethodOptions]] = {
    options.model_fields["name"].default: options for options in get_args(get_args(MethodOptions)[0])
}
DEFAULT_METHOD = "loku"
