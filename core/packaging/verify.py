from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from core.domain.errors import PackageMismatchError
from core.modeling.sharding import shard


@dataclass(frozen=True)
class Tolerance:
    """How far the logits of a package may be from the trained ones: the larger of two bounds.

    Relative to the largest logit alone, a small adapter at half its scale, or with its sign turned, is within the
    rounding of bfloat16; so what was learned is the measure, as long as it is more than rounding.
    """

    share: float  # of the largest change that the adapter makes
    rounding: float  # of the largest logit


# bfloat16 has eight bits, and the trained layers and PEFT's add up in another order: faithful packages of small changes
# were measured at 1.5e-2 of the largest logit in 24 layers with initial weights of 0.02, and at 5e-6 in float32.
TOLERANCES = {
    torch.float32: Tolerance(share=1e-2, rounding=2e-5),
    torch.bfloat16: Tolerance(share=0.25, rounding=3e-2),
}


@dataclass(frozen=True)
class Probe:
    """Token rows with the logits that the trained model and the base model give for them, taken before packaging."""

    input_ids: Tensor  # (P, T) int64, unpadded
    trained_logits: Tensor  # (P, T, V), the model's dtype, on the CPU
    base_logits: Tensor  # (P, T, V)


@torch.no_grad()
def logits_of(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """Return the logits (P, T, V) of a model, on the CPU."""
    logits: Tensor = model(input_ids=input_ids.to(model.device), use_cache=False).logits
    return logits.cpu()


def probe_rows(model: PreTrainedModel, *, seed: int, rows: int = 4, width: int = 32) -> Tensor:
    """Return random token rows: they reach every layer, and hold nobody's text."""
    generator = torch.Generator().manual_seed(seed)
    width = min(width, int(model.config.max_position_embeddings))
    return torch.randint(int(model.config.vocab_size), (rows, width), generator=generator)


def verify(
    package: Path,
    base_path: Path,
    probe: Probe,
    *,
    device: torch.device,
    dtype: torch.dtype,
    sharded: bool = False,
) -> float:
    """Load the package with plain PEFT on a fresh base model and compare; return the relative difference.

    Three things must hold: the logits are those of the trained model, within a :class:`Tolerance`; with the adapter
    switched off they are those of the base model, bit for bit; with it on they are not those of the base model, for an
    adapter whose names match nothing loads without a word and does nothing. ``sharded`` as in
    :func:`core.modeling.base_model.load_base_model`.

    Raises:
        PackageMismatchError: one of them does not hold; the package must not be delivered.
    """
    fresh = AutoModelForCausalLM.from_pretrained(
        base_path, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    if sharded:
        shard(fresh.eval(), device)
    else:
        fresh.to(device).eval()
    loaded = PeftModel.from_pretrained(fresh, package)
    loaded.eval()
    after = logits_of(loaded, probe.input_ids)
    with loaded.disable_adapter():
        before = logits_of(loaded, probe.input_ids)
    return check(probe, after=after, before=before, tolerance=TOLERANCES[dtype])


def check(probe: Probe, *, after: Tensor, before: Tensor, tolerance: Tolerance) -> float:
    """Return the difference of ``after`` to the trained logits, relative to the largest, or raise as :func:`verify`."""
    if not torch.equal(before, probe.base_logits):
        raise PackageMismatchError("with the adapter switched off, the base model's logits do not come back")
    trained, base = probe.trained_logits.float(), probe.base_logits.float()
    difference, learned = float((after.float() - trained).abs().max()), float((trained - base).abs().max())
    largest = float(trained.abs().max())
    if learned and torch.equal(after, before):
        raise PackageMismatchError("the packaged adapter has no effect: its module names match nothing")
    allowed = max(tolerance.share * learned, tolerance.rounding * largest)
    if not difference <= allowed:
        raise PackageMismatchError(
            f"the packaged adapter differs from the trained one by {difference:.2e}, where training changed "
            f"a logit by up to {learned:.2e}; at most {allowed:.1e} is rounding"
        )
    return difference / largest
