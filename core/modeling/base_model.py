import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from core.domain.errors import BaseModelChangedError, UnsupportedBaseModelError, WorkerUnfitError
from core.modeling.scoring import require_plain_head
from core.modeling.sharding import shard

DeviceChoice = Literal["auto", "cpu", "cuda"]

# What a snapshot may bring along: weights as safetensors only, and never a line of code.
_ALLOWED = [
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "tokenizer.model",
    "*.jinja",
    "merges.txt",
    "vocab.txt",
]


@dataclass(frozen=True)
class BaseModel:
    """A frozen base model, ready to be scored and to have an adapter attached."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    path: Path

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self.model.device)

    @property
    def pad_id(self) -> int:
        """A token to fill rows with; masked everywhere, so which one it is has no effect."""
        return int(self.tokenizer.pad_token_id or self.tokenizer.eos_token_id or 0)

    @property
    def max_tokens(self) -> int:
        """Context length."""
        return context_length(self.model)


class LoadBaseModel(Protocol):
    """Where a recipe gets its base model: :func:`load_base_model`, or who keeps one that was loaded so."""

    def __call__(self, path: Path, *, device: torch.device, expected_sha256: str) -> BaseModel:
        """Return the base model with no adapter on it. Raises as :func:`load_base_model`."""
        ...


def choose_device(choice: DeviceChoice) -> torch.device:
    """Return the device asked for; ``auto`` is the GPU of this process, else the CPU.

    Raises:
        WorkerUnfitError: ``cuda`` was asked for and there is none. No silent fall back to the CPU.
    """
    available = torch.cuda.is_available()
    if choice == "cuda" and not available:
        raise WorkerUnfitError("LETHE_DEVICE is cuda, but this worker sees no GPU")
    return torch.device("cuda", torch.cuda.current_device()) if available and choice != "cpu" else torch.device("cpu")


def locate(source: str, revision: str | None) -> Path:
    """Return the local directory of a base model, downloading a hub snapshot at its pinned revision if need be.

    Raises:
        UnsupportedBaseModelError: the path or the hub snapshot cannot be had, or it holds no safetensors weights.
    """
    path = Path(source) if Path(source).is_dir() else _snapshot(source, revision)
    if not any(path.glob("*.safetensors")):
        raise UnsupportedBaseModelError("no *.safetensors file: weights in pickle formats are not loaded")
    return path


def _snapshot(source: str, revision: str | None) -> Path:
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=_ALLOWED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as missing:
        raise UnsupportedBaseModelError("neither a directory on this worker nor a snapshot the hub gives") from missing


def weights_digest(path: Path) -> str:
    """Return the SHA-256 over the names and contents of the safetensors files, in order of name."""
    whole = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as stream:
            part = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{file.name}\0{part}\n".encode())
    return whole.hexdigest()


def load_base_model(
    path: Path, *, device: torch.device, expected_sha256: str | None = None, sharded: bool = False
) -> BaseModel:
    """Return the base model in evaluation mode with frozen weights.

    float32 on the CPU, where results must be bit-reproducible; bfloat16 on a GPU. Dropout stays off throughout: a
    deletion is measured and trained on the function that is served.

    Args:
        path: a directory with config, tokenizer and safetensors weights.
        device: where to put the weights.
        expected_sha256: the digest that was registered; None skips the check.
        sharded: spread it over the process group, see :func:`core.modeling.sharding.shard`. Each process reads all of
            it into the memory of its machine first.

    Raises:
        BaseModelChangedError: the weights are not the registered ones.
        UnsupportedBaseModelError: the directory cannot be loaded without remote code or pickles, or the
            architecture's logits are not a plain output head.
    """
    if expected_sha256 is not None and weights_digest(path) != expected_sha256:
        raise BaseModelChangedError("the weights differ from those that were registered: register the model anew")
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    with _refused_if_broken():
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
    tokenizer = load_tokenizer(path)
    model.eval().requires_grad_(False)
    if sharded:
        shard(model, device)
    else:
        model.to(device)
    require_plain_head(model)
    return BaseModel(model=model, tokenizer=tokenizer, path=path)


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a base model.

    Raises:
        UnsupportedBaseModelError: there is none, or it has no fast form.
    """
    with _refused_if_broken():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, trust_remote_code=False, local_files_only=True
        )
    if not tokenizer.is_fast:
        raise UnsupportedBaseModelError("the tokenizer has no tokenizer.json: convert it to a fast tokenizer")
    return tokenizer


@contextmanager
def _refused_if_broken() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as broken:
        raise UnsupportedBaseModelError(
            f"the directory cannot be loaded as a causal language model ({type(broken).__name__})"
        ) from broken


def context_length(model: PreTrainedModel) -> int:
    """Return how many tokens the model reads at most.

    Raises:
        UnsupportedBaseModelError: the configuration does not say.
    """
    length = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(length, int) or length < 2:
        raise UnsupportedBaseModelError("the configuration names no max_position_embeddings")
    return length


def architecture_of(path: Path) -> str:
    """Return the class name of the configuration's architecture, such as ``GPTNeoForCausalLM``."""
    names = AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True).architectures
    if not names:
        raise UnsupportedBaseModelError("the configuration names no architecture")
    return str(names[0])
