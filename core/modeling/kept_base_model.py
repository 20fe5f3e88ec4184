from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from core.modeling.base_model import BaseModel, load_base_model, load_tokenizer
from core.modeling.model_state import ModelState, changes, state_of


@dataclass(frozen=True)
class _Asked:
    """What a model was loaded for. Two that are equal would load the same weights."""

    path: Path
    device: torch.device
    expected_sha256: str
    files: dict[str, tuple[int, int]]  # size in bytes and time of the last change in nanoseconds, by name


@dataclass(frozen=True)
class _Kept:
    asked: _Asked
    model: PreTrainedModel
    as_loaded: ModelState


class KeptBaseModel:
    """A :class:`LoadBaseModel` that keeps the model for the next one who asks for the same.

    The tokenizer is loaded anew each time, for it remembers words of the texts that it has split.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: _Kept | None = None

    def __call__(self, path: Path, *, device: torch.device, expected_sha256: str) -> BaseModel:
        """Return the kept model, or load it and compare its digest if it, its files or the device are others."""
        asked = _Asked(path, device, expected_sha256, _files(path))
        if self._kept is not None and self._kept.asked == asked:
            return BaseModel(model=self._kept.model, tokenizer=load_tokenizer(path), path=path)
        self._kept = None  # first, for there may be no room for two
        base = load_base_model(path, device=device, expected_sha256=expected_sha256)
        self._kept = _Kept(asked, base.model, state_of(base.model))
        return base

    def changes(self) -> list[str]:
        """Return the names of what is not as it was loaded; a model with any must not be used again."""
        return [] if self._kept is None else changes(self._kept.as_loaded, state_of(self._kept.model))


def _files(path: Path) -> dict[str, tuple[int, int]]:
    found = {file.name: file.stat() for file in path.iterdir()}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}
