"""Unlearning on a GPU at the size of real models, with random weights.

python -m bench.gpu --data DIR [--shapes gpt_neo_1.3b llama_7b] [--pairs 400] [--epochs 5] [--batch-size 32]
    [--initializer fila] [--out docs/results/gpu.md] [--device cuda]
DIR holds the TOFU files. A weight's value changes no time, so the models are made where they run. A job here is what
happens between a loaded base model and a trained adapter: both Fisher passes, the initial pairs, every step.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GPTNeoConfig, LlamaConfig, PreTrainedConfig

from bench.performance.rows_of_tofu import Rows, tofu_rows
from bench.performance.training import batch_of
from bench.tofu.runs import code_version
from core.domain.catalog import LokuOptions
from core.modeling.adapter import Adapter, attach, target_linears, weight_of
from core.modeling.base_model import BaseModel
from core.modeling.packing import can_pack
from core.unlearning.initialize import RetainStatistics, initial_pairs, measure_retain_fisher
from core.unlearning.methods.inverted_hinge import InvertedHinge
from core.unlearning.step import FusedStep, Plan, TrainingData

MAX_TOKENS = 512
PEAK_SIZE = 8192
# A frozen weight costs two operations a token forward and two backward, for its input alone.
OPERATIONS_A_WEIGHT = 4
COLUMNS = (
    "shape",
    "parameters",
    "retain Fisher",
    "forget Fisher and start",
    "training",
    "tokens/s",
    "share of peak",
    "job",
    "peak memory",
)
SHAPES: dict[str, PreTrainedConfig] = {
    "gpt_neo_1.3b": GPTNeoConfig(
        vocab_size=50257,
        hidden_size=2048,
        num_layers=24,
        num_heads=16,
        attention_types=[[["global", "local"], 12]],
        max_position_embeddings=MAX_TOKENS,
    ),
    "llama_7b": LlamaConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        max_position_embeddings=MAX_TOKENS,
    ),
    "tiny": LlamaConfig(
        vocab_size=6000,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_TOKENS,
    ),
}


@dataclass(frozen=True)
class Job:
    """What one job took."""

    shape: str
    parameters: int
    fisher_seconds: float
    initialize_seconds: float
    train_seconds: float
    trained_tokens: int
    operations: float  # of the linear layers in training
    peak_bytes: int | None  # None on a CPU

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.fisher_seconds + self.initialize_seconds + self.train_seconds


@dataclass(frozen=True)
class Clock:
    """Times what a device does: it has finished when the device has."""

    device: torch.device

    def __call__(self, action: Callable[[], object]) -> float:
        """Return how long a call takes, in seconds."""
        self._wait()
        start = time.perf_counter()
        action()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def main(given: Sequence[str] | None = None) -> None:
    """Measure each shape, and print the page or write it."""
    words = sys.argv[1:] if given is None else list(given)
    arguments = _parse(words)
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("bench.gpu: this machine has no GPU that torch can use")
    rows = tofu_rows(arguments.data, count=arguments.pairs)
    peak = matmul_peak(device, size=arguments.peak_size)
    jobs = [job_of(shape, rows, arguments, device) for shape in arguments.shapes]
    text = page(jobs, peak, words=words, device=device, rows=rows)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text, encoding="utf-8")


def matmul_peak(device: torch.device, *, size: int, repeats: int = 20) -> float:
    """Return the operations a second of the fastest of some square matrix products in the dtype of the models."""
    left, right = (torch.randn(size, size, device=device, dtype=_dtype(device)) for _ in range(2))
    clock = Clock(device)
    clock(lambda: left @ right)
    return 2 * size**3 / min(clock(lambda: left @ right) for _ in range(repeats))


def job_of(shape: str, rows: Rows, arguments: argparse.Namespace, device: torch.device) -> Job:
    """Return what a job on a new model of this shape took, after some steps to warm up."""
    base = _random_model(SHAPES[shape], rows, device)
    options = LokuOptions(batch_size=arguments.batch_size, initializer=arguments.initializer)
    layers = target_linears(base.model, options.target_modules)
    clock, weights = Clock(device), sum(weight_of(layer).numel() for layer in layers.values())
    about, pairs = [], []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    fisher = clock(lambda: about.append(measure_retain_fisher(base, layers, rows.retain, options)))
    initialize = clock(
        lambda: pairs.append(initial_pairs(base, layers, rows.forget, RetainStatistics(about.pop()), options))
    )
    adapter = attach(base.model, pairs.pop().by_layer, scaling=options.lora_alpha / options.r)
    train, tokens, places = _train(base, adapter, rows, options, clock, epochs=arguments.epochs)
    head = base.model.get_output_embeddings().weight.numel()
    return Job(
        shape=shape,
        parameters=sum(parameter.numel() for parameter in base.model.parameters()),
        fisher_seconds=fisher,
        initialize_seconds=initialize,
        train_seconds=train,
        trained_tokens=tokens,
        operations=OPERATIONS_A_WEIGHT * (weights * tokens + head * places),
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    )


def _train(
    base: BaseModel, adapter: Adapter, rows: Rows, options: LokuOptions, clock: Clock, *, epochs: int
) -> tuple[float, int, int]:
    """Return how long the steps took, and how many real tokens and scored places they passed."""
    data = TrainingData(rows.forget, rows.retain)
    step = FusedStep(base, adapter, InvertedHinge(), data, options, packs=can_pack(base.model))
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=options.learning_rate)
    steps = epochs * -(-len(rows.forget) // options.batch_size)

    def take(count: int) -> None:
        for number in range(count):
            step(Plan(step=number, forgetting=True, retain_weight=options.retain_weight), optimizer)

    take(2)
    seconds = clock(lambda: take(steps))
    batches = [batch_of(step, number) for number in range(steps)]
    return (
        seconds,
        sum(int(batch.attention_mask.sum()) for batch in batches),
        sum(len(batch.target) for batch in batches),
    )


def page(jobs: Sequence[Job], peak: float, *, words: Sequence[str], device: torch.device, rows: Rows) -> str:
    """Return the table."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
    made = (
        f"Made by `{shlex.join(['python', '-m', 'bench.gpu', *words])}` at commit {code_version()}, on {name}, whose "
        f"best {_dtype(device)} matrix product ran at {peak / 1e12:.3g} TFLOP/s."
    )
    about = (
        f"{len(rows.forget)} TOFU rows to forget and as many to keep, {rows.num_tokens} tokens; random weights. The "
        "share of the peak counts the products of the frozen weights, four operations a weight and real token, and "
        "neither adapter nor attention."
    )
    head = "| " + " | ".join(COLUMNS) + " |"
    lines = ["# Unlearning at the size of real models", "", made, "", about, "", head, "| --- " * len(COLUMNS) + "|"]
    return "\n".join([*lines, *(_line(job, peak) for job in jobs)]) + "\n"


def _line(job: Job, peak: float) -> str:
    memory = "-" if job.peak_bytes is None else f"{job.peak_bytes / 2**30:.1f} GiB"
    share = job.operations / job.train_seconds / peak
    return (
        f"| {job.shape} | {job.parameters / 1e9:.2f} B | {job.fisher_seconds:.1f} s | {job.initialize_seconds:.1f} s | "
        f"{job.train_seconds:.1f} s | {job.trained_tokens / job.train_seconds:.0f} | {share:.1%} | {job.seconds:.1f} s "
        f"| {memory} |"
    )


def _random_model(config: PreTrainedConfig, rows: Rows, device: torch.device) -> BaseModel:
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=_dtype(device))
    return BaseModel(model.to(device).eval().requires_grad_(False), rows.tokenizer, Path())


def _dtype(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["gpt_neo_1.3b", "llama_7b"])
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--initializer", choices=["fila", "kronecker_fila"], default="fila")
    parser.add_argument("--peak-size", type=int, default=PEAK_SIZE)
    parser.add_argument("--device", default="cuda")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
