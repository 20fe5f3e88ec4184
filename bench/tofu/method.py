"""A method of the benchmark: its name, and what differs from its defaults."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bench.job import Texts, finished_job
from bench.tofu.data import Protocol, TofuError
from bench.tofu.measure import measure
from bench.tofu.runs import Run, RunKey
from core.domain.catalog import METHOD_OPTIONS, MethodOptions
from core.domain.errors import JobFailure
from core.domain.options import TrainedOptions
from core.domain.report import EvaluationReport

# Before the first step, and the steps.
_TRAINING_STAGES = ("fisher", "initialize", "train")


@dataclass(frozen=True)
class Method:
    """One method as it was asked for: ``NAME`` or ``NAME:option=value,option=value``."""

    spec: str

    def options(self, *, seed: int, max_steps: int) -> MethodOptions:
        """Return the method's options with the budget of steps; everything that is not named is its default.

        Raises:
            TofuError: there is no such method or option, or the method needs what TOFU's rows lack.
        """
        name, _, rest = self.spec.partition(":")
        if name not in METHOD_OPTIONS:
            raise TofuError(f"no method is called {name}; there are {', '.join(METHOD_OPTIONS)}")
        if not issubclass(kind := METHOD_OPTIONS[name], TrainedOptions):
            raise TofuError(f"{name} needs facts with a subject, which rows of TOFU do not name")
        # TOFU has no general corpus; a method that wants one gets texts that the model writes.
        given: dict[str, object] = {"seed": seed, "self_generated": True}
        given |= dict(_pair(self.spec, option) for option in rest.split(",") if rest)
        try:
            batches = kind.model_validate(given).batches_a_step
            return kind.model_validate({"max_steps": max(1, max_steps // batches)} | given)
        except ValidationError as wrong:
            names = ", ".join(sorted({".".join(map(str, error["loc"])) for error in wrong.errors()}))
            raise TofuError(f"{self.spec}: {name} has no such option, or not this value: {names}") from None


def run_method(base_model: Path, protocol: Protocol, options: MethodOptions, key: RunKey) -> Run:
    """Return one run of the service's recipe, measured on the exported adapter under plain PEFT."""
    texts = Texts(forget=protocol.forget, retain=protocol.retain, unseen=(), holdout=protocol.holdout)
    try:
        with finished_job(base_model, texts, options, policy="fast") as job:
            numbers = measure(job.adapted(), job.base, job.encode, protocol)
    except JobFailure as failure:
        return Run(key=key, outcome=failure.code)
    training = job.report.training
    seconds = job.report.timings_seconds
    return Run(
        key=key,
        outcome=job.report.verdict,
        numbers=numbers,
        forgot_at=_forgot_at(job.report),
        was_checked=training is not None and any(point.forget_metrics for point in training.trajectory),
        steps=training.steps if training else None,
        train_seconds=sum(seconds.get(stage, 0.0) for stage in _TRAINING_STAGES),
        job_seconds=job.seconds,
    )


def _forgot_at(report: EvaluationReport) -> int | None:
    """Return the first checked step at which the means of the forget set were within their limits.

    Unlike the last step it does not count what repairs the retain set afterwards.
    """
    limits = {f"forget_{gate.metric}": gate.at_most for gate in report.thresholds.forget}
    for point in report.training.trajectory if report.training else []:
        found = point.forget_metrics or {}
        if found and all(value <= limits[name] for name, value in found.items() if name in limits):
            return point.step
    return None


def _pair(spec: str, option: str) -> tuple[str, object]:
    name, equals, value = option.partition("=")
    if not equals:
        raise TofuError(f"{spec}: write options as NAME:option=value,option=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value  # a word
