"""Whether attacks tell a model that was made to forget from one that never knew, on the demo's base model.

python -m bench.attacks [--out docs/results/attacks.md] [--methods loku npo ihl] [--seeds 42] [--policy strict]
    [--relearn-steps 0 5 10 20 40 80] [--relearn-lr 1e-3 3e-3 1e-2] [--keep FILE | --show FILE]
Each method runs as a job of the service's own recipe, with a model that never read the forget set as its reference.
Fine-tuning is tried at each learning rate, the same on all models, and the strongest is shown: an attacker may choose.
"""

import argparse
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from bench.attacks.findings import Findings, Trial
from bench.attacks.page import page
from bench.attacks.texts import attacked_texts
from bench.attacks.trial import Attacker, Models, memorised, on_clean_model, rounded_base, stage_seconds, tried
from cli.demo.base_model import ensure_base_model
from cli.demo.options import DemoOptions
from core.domain.catalog import METHOD_OPTIONS
from core.domain.policy import DEFAULT_POLICY, PolicyName

# In the directory of `make demo`, so that whoever has run it need not train its base model again.
_CACHE = Path(".lethe/demo/base-models")
_DEFAULT_METHOD = "loku"


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    out: Path | None
    methods: list[str]
    seeds: list[int]
    policy: PolicyName
    relearn_steps: list[int]
    relearn_lr: list[float]
    keep: Path | None
    show: Path | None


def main() -> None:
    """Attack what was asked for, and write the page; with --show, write that of findings that were kept."""
    arguments = _parse()
    findings = _found(arguments) if arguments.show is None else Findings.model_validate_json(arguments.show.read_text())
    if arguments.keep:
        arguments.keep.write_text(findings.model_dump_json())
    text = page(findings)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)


def _found(arguments: Arguments) -> Findings:
    torch.set_num_threads(1)  # the model is so small that more would wait for each other
    demo = DemoOptions()
    texts = attacked_texts(demo)
    _say("the base model and the reference")
    models = Models(ensure_base_model(_CACHE, demo), ensure_base_model(_CACHE, demo, without=demo.population().forget))
    attacker = Attacker(tuple(arguments.relearn_steps), tuple(arguments.relearn_lr))
    trials: list[Trial] = []
    for method in arguments.methods:
        for seed in arguments.seeds:
            _say(f"{method}, seed {seed}")
            trials.append(tried(method, seed, models, texts, attacker, arguments.policy))
    _say("a model that never knew, and what judging costs")
    return Findings(
        command=shlex.join(["python", "-m", "bench.attacks", *_without_files(sys.argv[1:])]),
        commit=_commit(),
        device=_device(),
        reference_memorised=memorised(models.reference, texts),
        trials=trials,
        clean_relearning=on_clean_model(models, texts, attacker, seed=arguments.seeds[0]),
        base_quantisation=rounded_base(models, texts),
        cost=stage_seconds(_DEFAULT_METHOD, arguments.seeds[0], models, texts),
        cost_method=_DEFAULT_METHOD,
        cost_policy=DEFAULT_POLICY,
    )


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _without_files(arguments: list[str]) -> list[str]:
    """Return the command line without the options that say where the output goes."""
    kept = list(arguments)
    for option in ("--out", "--keep"):
        if option in kept:
            at = kept.index(option)
            del kept[at : at + 2]
    return kept


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return ran.stdout.strip() or "unknown"


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "one thread of a CPU"


def _parse() -> Arguments:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where the page goes besides the screen")
    parser.add_argument("--methods", nargs="+", choices=METHOD_OPTIONS, default=[_DEFAULT_METHOD, "npo", "ihl"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--policy", choices=get_args(PolicyName), default="strict")
    parser.add_argument("--relearn-steps", type=int, nargs="+", default=[0, 5, 10, 20, 40, 80], metavar="STEP")
    parser.add_argument("--relearn-lr", type=float, nargs="+", default=[1e-3, 3e-3, 1e-2], metavar="RATE")
    parser.add_argument("--keep", type=Path, help="where the findings go, as JSON")
    parser.add_argument("--show", type=Path, help="findings that were kept, to be shown instead of found")
    return Arguments(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
