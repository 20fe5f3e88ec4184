"""What one model is worth on one split of TOFU, as numbers that can be kept and compared later."""

from collections.abc import Sequence
from statistics import fmean

from pydantic import BaseModel as Values
from pydantic import ConfigDict
from transformers import PreTrainedModel

from bench.tofu.data import FEWEST_MEMBERSHIP_ROWS, Protocol
from core.data.corpus import ItemEncoder
from core.domain.items import PairItem
from core.domain.report import MembershipScore
from core.evaluation.evaluate import evaluate
from core.evaluation.membership.compressed_loss import compressed_size
from core.evaluation.membership.inference import PRIV_LEAK_SCORE, collect, membership
from core.evaluation.membership.score import MembershipEvidence
from core.evaluation.metrics import METRICS
from core.evaluation.model_utility import UtilityParts, model_utility, normalized_probability
from core.evaluation.text_decoder import text_decoder
from core.evaluation.truth_ratio import TruthRatio, truth_ratios
from core.modeling.base_model import BaseModel

# As many as the published evaluation looks at.
MAX_ROWS = 300
KNOWN = "retain"
OTHERS = ("real authors", "world facts")
_METRICS = ("answer_probability", "rouge_l_recall")


class ModelNumbers(Values):
    """The measurements of one model. What could not be measured is absent, with a reason."""

    model_config = ConfigDict(frozen=True)
    extraction_strength: float | None = None
    log_ratios: list[float] = []  # log truth ratio of each forget row that has one, nats
    parts: dict[str, dict[str, float]] = {}  # set -> part of utility
    membership: MembershipScore | None = None
    absent: dict[str, str] = {}

    @property
    def utility(self) -> float | None:
        """TOFU's model utility, the harmonic mean of nine numbers; None where one of them is absent."""
        return self._utility((KNOWN, *OTHERS))

    @property
    def retain_utility(self) -> float | None:
        """The harmonic mean of the three numbers of the retain set."""
        return self._utility((KNOWN,))

    def _utility(self, names: Sequence[str]) -> float | None:
        if any(name not in self.parts for name in names):
            return None
        return model_utility({name: UtilityParts(**self.parts[name]) for name in names})


def measure(model: PreTrainedModel, base: BaseModel, encode: ItemEncoder, protocol: Protocol) -> ModelNumbers:
    """Return the numbers of a model on a split; ``base`` says how it reads and where it is."""
    absent: dict[str, str] = {}
    truth = truth_ratios(model, protocol.forget, encode, pad_id=base.pad_id)
    if truth.absent:
        absent["forget quality"] = f"{len(truth.absent)} forget rows: {next(iter(truth.absent.values()))}"
    strength = evaluate(
        model,
        encode(protocol.forget),
        pad_id=base.pad_id,
        metrics={"extraction_strength": METRICS["extraction_strength"]},
    )
    sets = {KNOWN: protocol.retain_measured, "real authors": protocol.real_authors, "world facts": protocol.world_facts}
    parts = {}
    for name, items in sets.items():
        found = _parts(model, base, encode, items[:MAX_ROWS], has_other_words=name == KNOWN)
        if found is None:
            absent[f"utility of {name}"] = "there are no such rows, or the model's scores are not finite numbers"
        else:
            parts[name] = vars(found)
    if len(strength.values("extraction_strength")) < len(protocol.forget):
        absent["extraction strength"] = "the model's scores are not finite numbers"
    return ModelNumbers(
        extraction_strength=None if "extraction strength" in absent else strength.metrics["extraction_strength"],
        log_ratios=[] if truth.absent else [item.log_ratio for item in truth.items],
        parts=parts,
        membership=_membership(model, base, encode, protocol, absent),
        absent=absent,
    )


def _parts(
    model: PreTrainedModel, base: BaseModel, encode: ItemEncoder, items: Sequence[PairItem], *, has_other_words: bool
) -> UtilityParts | None:
    """Return the three numbers of a set, None where a single row lacks one: a mean of the rest is another set's."""
    metrics = {name: METRICS[name] for name in _METRICS}
    scored = evaluate(
        model,
        encode(items),
        pad_id=base.pad_id,
        metrics=metrics,
        max_decoded_tokens=None,
        decode=text_decoder(base.tokenizer),
    )
    truth = truth_ratios(model, items, encode, pad_id=base.pad_id)
    if not items or truth.absent or any(len(scored.values(name)) < len(items) for name in metrics):
        return None
    return UtilityParts(
        # Of short answers the published code asks how likely they are beside the wrong ones.
        probability=scored.metrics["answer_probability"] if has_other_words else fmean(map(_normalized, truth.items)),
        rouge_l_recall=scored.metrics["rouge_l_recall"],
        truth_ratio=fmean(item.true_better for item in truth.items),
    )


def _normalized(item: TruthRatio) -> float:
    return normalized_probability(true_loss=item.paraphrased, wrong_losses=item.perturbed)


def _membership(
    model: PreTrainedModel, base: BaseModel, encode: ItemEncoder, protocol: Protocol, absent: dict[str, str]
) -> MembershipScore | None:
    if not protocol.membership:
        absent["membership"] = (
            f"fewer than {FEWEST_MEMBERSHIP_ROWS} rows were left out, and a model that is trained on all of TOFU has "
            "read all of its authors"
        )
        return None

    def evidence(items: Sequence[PairItem]) -> list[MembershipEvidence]:
        sizes = [compressed_size(item.completion) for item in items]
        return collect(model, encode(items), compressed_bytes=sizes, pad_id=base.pad_id)

    found = membership(evidence(protocol.forget), evidence(protocol.membership))
    if PRIV_LEAK_SCORE not in found.scores:
        absent["membership"] = found.absent[PRIV_LEAK_SCORE]
    return found.scores.get(PRIV_LEAK_SCORE)
