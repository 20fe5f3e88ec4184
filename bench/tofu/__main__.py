r"""The TOFU protocol over chosen methods, on one page with its answers.

python -m bench.tofu --data DIR --model scratch|PATH [--reference PATH] [--out docs/results/tofu.md]
    [--splits 01 05 10] [--seeds 1 2 3] [--methods NAME[:option=value,...] ...] [--max-steps 120] [--authors N]
    [--epochs 30] [--width 288] [--batch-size 64] [--threads N] [--prompt "Question: {question}\nAnswer:"]
scratch trains both models of each split and seed from random weights; a path is a model finetuned on all of TOFU, its
reference one that has read only what is to be kept. Runs are kept in --cache: what was interrupted goes on.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.tofu.compare import Judged, judged
from bench.tofu.data import PROMPT, SPLITS, Protocol, Split, TofuError, load_all, load_protocol
from bench.tofu.method import Method, run_method
from bench.tofu.models import Models, digest, measured_model, scratch_models
from bench.tofu.page import About, page
from bench.tofu.runs import FULL, REFERENCE, Run, RunKey, RunLog, code_version, data_digest
from bench.tofu.scratch import Recipe
from core.domain.items import PairItem

SCRATCH = "scratch"
METHODS = ("gradient_ascent", "ga_gd_in_distribution", "gd_fila", "ihl", "ihl:initializer=fila", "loku", "reglu", "npo",
           "simnpo")  # fmt: skip


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    data: Path
    model: str
    reference: Path | None
    out: Path
    cache: Path
    splits: list[Split]
    seeds: list[int]
    methods: list[str]
    max_steps: int
    authors: int | None
    epochs: int
    width: int
    batch_size: int
    threads: int
    prompt: str


def main(given: Sequence[str] | None = None, *, commit: str | None = None) -> None:
    """Run what is not kept from before at the commit (that of the working tree if none is given); write the page."""
    words = sys.argv[1:] if given is None else list(given)
    arguments = _parse(words)
    torch.set_num_threads(arguments.threads)
    commit = commit or code_version()  # once: it may move on while this runs
    try:
        sections = _sections(arguments, commit)
    except TofuError as wrong:
        raise SystemExit(f"bench.tofu: {wrong}") from None
    text = page(_about(arguments, words, commit), sections)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text, encoding="utf-8")
    print(f"written: {arguments.out}")


def _sections(arguments: Arguments, commit: str) -> list[tuple[Protocol, dict[str, list[Judged]]]]:
    """Return the runs of each split by method, after everything that was asked for is found to be possible."""
    _require_sense(arguments)
    methods = [Method(spec) for spec in arguments.methods]
    for method in methods:
        method.options(seed=arguments.seeds[0], max_steps=arguments.max_steps)
    everything = load_all(arguments.data, prompt=arguments.prompt)
    protocols = [
        load_protocol(arguments.data, split, authors=arguments.authors, prompt=arguments.prompt)
        for split in arguments.splits
    ]
    sections = []
    for protocol in protocols:
        runs = [
            run for seed in arguments.seeds for run in _runs(arguments, protocol, everything, methods, seed, commit)
        ]
        rows = judged(runs)
        names = dict.fromkeys([FULL, *([REFERENCE] if _has_reference(arguments) else []), *arguments.methods])
        sections.append((protocol, {name: [row for row in rows if row.run.key.method == name] for name in names}))
    return sections


def _require_sense(arguments: Arguments) -> None:
    if arguments.model != SCRATCH:
        if not Path(arguments.model).is_dir():
            raise TofuError(f"{arguments.model} is no directory: give {SCRATCH}, or one that holds a finetuned model")
        if arguments.authors is not None:
            raise TofuError("--authors is for --model scratch: a model that is finetuned already has read all authors")
        if arguments.reference is not None and len(arguments.splits) > 1:
            raise TofuError("a reference model belongs to one split: give --splits one of 01, 05, 10")
    elif arguments.reference is not None:
        raise TofuError("--reference is for --model PATH: scratch trains its own")


def _runs(
    arguments: Arguments,
    protocol: Protocol,
    everything: list[PairItem],
    methods: Sequence[Method],
    seed: int,
    commit: str,
) -> Iterator[Run]:
    """Return the runs of one split and seed: both models, then each method."""
    models = _models(arguments, protocol, everything, seed)
    log, data = RunLog(arguments.cache / "runs.jsonl"), data_digest(protocol)

    def kept(name: str, path: Path, method: Method | None = None) -> Run:
        key = RunKey(
            commit=commit, data=data, model=digest(path), method=name, seed=seed, split=protocol.split,
            authors=arguments.authors, max_steps=arguments.max_steps,
        )  # fmt: skip

        def make() -> Run:
            print(f"forget{protocol.split}, seed {seed}: {name}", flush=True)
            if method is None:
                return Run(key=key, outcome="", numbers=measured_model(path, models, protocol))
            return run_method(path, protocol, method.options(seed=seed, max_steps=arguments.max_steps), key)

        return log.kept(key, make)

    yield kept(FULL, models.full)
    if models.reference is not None:
        yield kept(REFERENCE, models.reference)
    for method in methods:
        yield kept(method.spec, models.full, method)


def _models(arguments: Arguments, protocol: Protocol, everything: list[PairItem], seed: int) -> Models:
    if arguments.model != SCRATCH:
        return Models(Path(arguments.model), arguments.reference)
    recipe = Recipe(epochs=arguments.epochs, width=arguments.width, batch_size=arguments.batch_size, seed=seed)
    return scratch_models(arguments.cache / "models", everything, protocol, recipe)


def _has_reference(arguments: Arguments) -> bool:
    return arguments.model == SCRATCH or arguments.reference is not None


def _about(arguments: Arguments, words: Sequence[str], commit: str) -> About:
    from_scratch = arguments.model == SCRATCH
    scratch = (
        f"Full model and reference are GPT-Neo models of 4 layers of width {arguments.width}, from random weights, one "
        f"of each for every seed and split: {arguments.epochs} epochs in batches of {arguments.batch_size}."
    )
    finetuned = (
        "The model was finetuned before; a seed is that of the job alone, so the spread is too small by that of models."
    )
    return About(
        command=f"python -m bench.tofu {shlex.join(_without_paths(words))}",
        commit=commit,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else f"a CPU, threads: {arguments.threads}",
        models=scratch if from_scratch else finetuned,
        from_scratch=from_scratch,
        authors=arguments.authors,
        max_steps=arguments.max_steps,
        seeds=arguments.seeds,
    )


def _without_paths(words: Sequence[str]) -> list[str]:
    """Return the command line with names in place of paths of one machine; where things are kept says nothing."""
    names = {"--data": "TOFU", "--reference": "REFERENCE", "--model": "MODEL"}
    shown: list[str] = []
    for place, word in enumerate(words):
        option = words[place - 1] if place else ""
        if word in ("--out", "--cache") or option in ("--out", "--cache"):
            continue
        shown.append(names[option] if option in names and word != SCRATCH else word)
    return shown


def _parse(words: Sequence[str]) -> Arguments:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory of the TOFU files")
    parser.add_argument("--model", required=True, help="scratch, or a model finetuned on all of TOFU")
    parser.add_argument("--reference", type=Path, help="a model finetuned on the retain rows of the split alone")
    parser.add_argument("--out", type=Path, default=Path("docs/results/tofu.md"))
    parser.add_argument("--cache", type=Path, default=Path(".lethe/bench/tofu"), help="of models and of finished runs")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="NAME or NAME:option=value,...")
    parser.add_argument("--max-steps", type=int, default=120)
    parser.add_argument("--authors", type=int, help="how many of the 200 authors take part, those to forget included")
    recipe = Recipe()
    parser.add_argument("--epochs", type=int, default=recipe.epochs, help="of the models from scratch")
    parser.add_argument("--width", type=int, default=recipe.width, help="of the models from scratch, a multiple of 36")
    parser.add_argument("--batch-size", type=int, default=recipe.batch_size, help="of the models from scratch")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--prompt", default=PROMPT, help="how a question becomes a prompt")
    return Arguments(**vars(parser.parse_args(words)))


if __name__ == "__main__":
    main()
