"""Jobs of the service's own recipe, and stronger attacks than a policy plans on what they deliver."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bench.attacks.findings import ANSWERS, JUDGING_STAGES, STRENGTH, TRAINING_STAGES, Trial, strongest, strongest_rates
from bench.attacks.scene import scene_of
from bench.job import Texts, finished_job
from core.data.corpus import ItemEncoder
from core.domain.catalog import METHOD_OPTIONS, MethodOptions
from core.domain.errors import JobFailure
from core.domain.item_set import with_ids
from core.domain.policy import DEFAULT_POLICY, PolicyName
from core.domain.report import AttackResult
from core.evaluation.attack import AttackScene, leak
from core.evaluation.attacks.quantisation import Quantisation, QuantisationBudget
from core.evaluation.attacks.relearning import Relearning, RelearningBudget
from core.evaluation.lessons import VARIANTS
from core.modeling.base_model import BaseModel, choose_device, load_base_model
from core.modeling.inspect import measure_text_format


@dataclass(frozen=True)
class Models:
    """The demo's base model, and the one that never read about the people to be forgotten."""

    base: Path
    reference: Path

    @cached_property
    def loaded_reference(self) -> BaseModel:
        """The reference, in memory."""
        return load_base_model(self.reference, device=choose_device("auto"))


@dataclass(frozen=True)
class Attacker:
    """What somebody spends who fine-tunes: the steps after which is looked, and the learning rates to try."""

    steps: tuple[int, ...]
    learning_rates: tuple[float, ...]

    def relearn(
        self, scene: AttackScene, rate: float, *, seed: int, variants: Sequence[str] = VARIANTS
    ) -> list[AttackResult]:
        """Return what fine-tuning brings back in each of these variants, at one learning rate."""
        budget = RelearningBudget(variants=tuple(variants), steps=self.steps, learning_rates=(rate,), seed=seed)
        return Relearning(budget)(scene)

    def relearn_beside_unseen(
        self, scene: AttackScene, found: Sequence[AttackResult], *, seed: int
    ) -> AttackResult | None:
        """Return what teaching the answers gets beside teaching those of unseen people, at the rate found strongest.

        It is what the attack does where there is no reference.
        """
        best = strongest(found, ANSWERS)
        if best is None:
            return None
        rate = float(best.budget["learning_rate"])
        (result,) = self.relearn(replace(scene, reference=None), rate, seed=seed, variants=[ANSWERS])
        return result


def tried(method: str, seed: int, models: Models, texts: Texts, attacker: Attacker, policy: PolicyName) -> Trial:
    """Return what a job of this method delivers, under the attacks of the policy and under this attacker."""
    reference = models.loaded_reference.model
    try:
        with finished_job(models.base, texts, _options(method, seed), policy=policy, reference=models.reference) as job:
            scene = scene_of(job.base, job.encode, texts, adapter=job.adapter, reference=reference)
            relearning = [
                result for rate in attacker.learning_rates for result in attacker.relearn(scene, rate, seed=seed)
            ]
            beside_unseen = attacker.relearn_beside_unseen(scene, relearning, seed=seed)
            scene.adapter.detach()
            untouched = scene_of(job.base, job.encode, texts)
            on_base = [
                result
                for rate, variants in strongest_rates(relearning).items()
                for result in attacker.relearn(untouched, rate, seed=seed, variants=variants)
            ]
    except JobFailure as failure:
        return Trial(method=method, seed=seed, outcome=failure.code)
    return Trial(
        method=method,
        seed=seed,
        outcome=job.report.verdict,
        report=job.report,
        relearning=relearning,
        base_relearning=on_base,
        unseen_relearning=beside_unseen,
    )


def rounded_base(models: Models, texts: Texts) -> list[AttackResult]:
    """Return what rounding does to the base model, which has nothing to bring back."""
    scene = _scene_of_model(models.base, texts)
    return Quantisation(QuantisationBudget(variants=("int8_base", "nf4_base")))(scene)


def on_clean_model(models: Models, texts: Texts, attacker: Attacker, *, seed: int) -> list[AttackResult]:
    """Return what teaching the answers gets beside unseen people on the reference, which has nothing to remember."""
    scene = _scene_of_model(models.reference, texts)
    return [
        result
        for rate in attacker.learning_rates
        for result in attacker.relearn(scene, rate, seed=seed, variants=[ANSWERS])
    ]


def memorised(model: Path, texts: Texts) -> float:
    """Return how much a model completes of what it was taught and no job forgets: its mean extraction strength."""
    scene = _scene_of_model(model, texts)
    return leak(scene.model, scene.encode(scene.neighbours), pad_id=scene.base.pad_id).means[STRENGTH]


def stage_seconds(method: str, seed: int, models: Models, texts: Texts) -> dict[str, float]:
    """Return how long the stages took that train and that judge, in a job as most deployments have it.

    The policy is the default one, and there is neither a reference model nor a general corpus.
    """
    texts = replace(texts, general=())
    with finished_job(models.base, texts, _options(method, seed), policy=DEFAULT_POLICY) as job:
        seconds = job.report.timings_seconds
    return {stage: seconds[stage] for stage in (*TRAINING_STAGES, *JUDGING_STAGES) if stage in seconds}


def _options(method: str, seed: int) -> MethodOptions:
    return METHOD_OPTIONS[method].model_validate({"seed": seed})


def _scene_of_model(path: Path, texts: Texts) -> AttackScene:
    base = load_base_model(path, device=choose_device("auto"))
    encode = ItemEncoder(base.tokenizer, measure_text_format(base, with_ids(texts.retain)), base.max_tokens)
    return scene_of(base, encode, texts)
