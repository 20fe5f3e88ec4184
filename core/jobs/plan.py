"""What a job will have to get through, from what is known when it is submitted."""

from dataclasses import dataclass

from core.domain.base_model import RegisteredBaseModel
from core.domain.catalog import LawOptions, MethodOptions
from core.domain.job import Stage
from core.domain.options import TrainedOptions
from core.domain.policy import Policy
from core.domain.sizes import ModelSizes, SetSize
from core.domain.workload import Workload

# As the recipe has them, which the light half cannot import; a test compares.
MEASURED_RETAIN_ROWS = 128
DECODED_FORGET_TOKENS = 1 << 16
DECODED_TOKENS = 1 << 12
ATTACKED_ITEMS = 128
DECODING_METRICS = frozenset({"extraction_likelihood", "rouge_l_recall"})
WRITTEN_TEXTS = SetSize(num_items=512, num_tokens=512 * 64, longest=64)  # at most, where a model writes its own

_BACKWARD = 3  # forward passes that one forward and backward costs
# Values that a decoder layer keeps for the way back, for each token and hidden unit: 34 bytes of two-byte numbers.
# Source: Korthikanti et al., 2022 (arXiv 2205.05198), without the part that grows with the square of the length.
_KEPT_BY_LAYER = 17
_KEPT_BY_HEAD = 3  # for each token and word of the vocabulary: logits, log-probabilities and a gradient


@dataclass(frozen=True)
class _Sets:
    forget: SetSize
    retain: SetSize
    trained: SetSize  # what training keeps on: the retain set, or the general corpus
    holdout: SetSize | None


@dataclass(frozen=True)
class _Learning:
    tokens: dict[Stage, float]
    steps: int | None = None
    adapter_entries: int = 0
    batch_tokens: int = 0


def workload_of(
    method: MethodOptions,
    policy: Policy,
    base_model: RegisteredBaseModel,
    forget: SetSize,
    own_retain: SetSize | None,
) -> Workload | None:
    """Return what a job will have to get through, or None where the base model's sets were never counted."""
    sizes = base_model.sizes
    if sizes is None:
        return None
    retain = own_retain or sizes.retain or WRITTEN_TEXTS
    sets = _Sets(forget, retain, _trained(method, retain, sizes), sizes.holdout)
    match method:
        case LawOptions():
            learning = _editing(method, sets)
        case TrainedOptions():
            learning = _training(method, sets, base_model, sizes)
    tokens = _measuring(sets, policy, has_reference=base_model.reference is not None) | learning.tokens
    return Workload(
        method=method.name,
        policy=policy.name,
        steps=learning.steps,
        forget_tokens=forget.num_tokens,
        tokens={stage.value: round(count) for stage, count in tokens.items()},
        shares_statistics=own_retain is None,
        num_parameters=base_model.num_parameters,
        adapter_entries=learning.adapter_entries,
        batch_tokens=learning.batch_tokens,
        values_per_token=_KEPT_BY_LAYER * (base_model.num_layers or 1) * sizes.hidden_size
        + _KEPT_BY_HEAD * sizes.vocab_size,
    )


def _trained(method: MethodOptions, retain: SetSize, sizes: ModelSizes) -> SetSize:
    if isinstance(method, TrainedOptions) and method.retain_corpus == "general":
        return sizes.general or WRITTEN_TEXTS
    return retain


def _measuring(sets: _Sets, policy: Policy, *, has_reference: bool) -> dict[Stage, float]:
    """Return the tokens of the stages that read and measure the sets, whatever is learned in between."""
    forget, retain, holdout = sets.forget, sets.retain, sets.holdout
    scored = forget.num_tokens + forget.wording_tokens + retain.tokens_of(MEASURED_RETAIN_ROWS)
    decoded = _continued(forget, at_most=DECODED_FORGET_TOKENS) + _continued(retain, at_most=DECODED_TOKENS)
    if holdout is not None:
        scored += holdout.num_tokens
        decoded += _continued(holdout, at_most=DECODED_TOKENS)
    once = scored + (decoded if DECODING_METRICS & set(policy.metrics) else 0)
    return {
        Stage.PREPARE: forget.num_tokens + sets.trained.num_tokens + (holdout.num_tokens if holdout else 0),
        Stage.BASELINE: once * (2 if has_reference else 1),
        Stage.EVALUATE: once,
        Stage.ATTACK: forget.tokens_of(ATTACKED_ITEMS) * len(policy.attacks),
    }


def _continued(texts: SetSize, *, at_most: int) -> float:
    """Return how many tokens are written on behind each prefix of the items: half the square of each one's length."""
    mean = texts.num_tokens / texts.num_items
    return min(at_most, texts.num_items * mean**2 / 2)


def _editing(method: LawOptions, sets: _Sets) -> _Learning:
    reads = sets.forget.num_tokens * (1 + method.contexts)
    return _Learning(
        {
            Stage.FISHER: sets.trained.tokens_of(method.moment_items),
            Stage.INITIALIZE: _BACKWARD * method.target_steps * reads,
        }
    )


def _training(method: TrainedOptions, sets: _Sets, base_model: RegisteredBaseModel, sizes: ModelSizes) -> _Learning:
    keeps = method.retain_loss != "none"
    steps = method.planned_steps(sets.forget.num_items)
    uphill = 2 if method.sharpness_radius else 1
    a_batch = uphill * sets.forget.tokens_of(method.batch_size)
    a_batch += sets.trained.tokens_of(method.batch_size) if keeps else 0
    return _Learning(
        tokens={
            Stage.FISHER: _statistics(method, sets.trained),
            Stage.INITIALIZE: 0 if method.initializer in ("lora", "pissa") else _BACKWARD * sets.forget.num_tokens,
            Stage.TRAIN: _BACKWARD * steps * method.batches_a_step * a_batch,
        },
        steps=steps,
        adapter_entries=method.r * _adapted_features(method, base_model, sizes),
        batch_tokens=_widest_batch(method, sets, keeps=keeps),
    )


def _statistics(method: TrainedOptions, trained: SetSize) -> float:
    fisher = method.initializer in ("fila", "kronecker_fila")
    outputs = method.initializer == "rila" or method.rol_weight > 0
    return (_BACKWARD * trained.tokens_of(method.fisher_retain_items) if fisher else 0) + (
        trained.tokens_of(method.rila_items) if outputs else 0
    )


def _widest_batch(method: TrainedOptions, sets: _Sets, *, keeps: bool) -> int:
    """Return the tokens of a batch of the longest rows: its size counts, and not the usual one's."""
    rows = min(method.batch_size, sets.forget.num_items)
    kept = min(method.batch_size, sets.trained.num_items) if keeps else 0
    return rows * sets.forget.longest + kept * sets.trained.longest


def _adapted_features(method: TrainedOptions, base_model: RegisteredBaseModel, sizes: ModelSizes) -> int:
    """Return inputs plus outputs of all the layers that get an adapter: times the rank, the entries of its factors."""
    layers = base_model.num_layers or 1
    total = 0
    for name, features in zip(base_model.linear_names, sizes.linear_features, strict=True):
        full_names = [name.replace("*", str(layer)) for layer in range(layers)] if "*" in name else [name]
        total += features * sum(_is_target(full, method) for full in full_names)
    return total


def _is_target(name: str, method: TrainedOptions) -> bool:
    """Whether the layer gets an adapter: it is named in full, or by its last components."""
    return method.target_modules == "all-linear" or any(
        f".{name}".endswith(f".{target}") for target in method.target_modules
    )
