from pathlib import Path

import pytest
import torch

from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import FactItem
from core.modeling.base_model import BaseModel
from tests.fakes.recalling_model import MAX_TOKENS, recalling_model
from tests.fakes.tiny_models import byte_tokenizer, tiny_model


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recalling() -> BaseModel:
    return BaseModel(model=recalling_model(), tokenizer=byte_tokenizer(), path=Path())


def tiny_base(architecture: str = "gpt_neo") -> BaseModel:
    return BaseModel(model=tiny_model(architecture), tokenizer=byte_tokenizer(), path=Path())


def encoder(*, max_tokens: int = 256) -> ItemEncoder:
    return ItemEncoder(byte_tokenizer(), TextFormat(), max_tokens)


def short_encoder() -> ItemEncoder:
    return encoder(max_tokens=MAX_TOKENS)


def facts(count: int) -> list[FactItem]:
    """Facts of different lengths, each with its subject at another place."""
    return [
        FactItem(
            id=str(number),
            subject=f"Ann {number}",
            prompt=f"{'so ' * number}Ann {number} lives in",
            completion=f" house {number * 37 % 101}",
        )
        for number in range(count)
    ]


def low_rank(seed: int, *, out: int, rank: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(out, rank, generator=generator, dtype=torch.float64),
        torch.randn(rank, width, generator=generator, dtype=torch.float64),
    )


def moment(seed: int, *, width: int) -> torch.Tensor:
    """A positive definite matrix with eigenvalues that differ."""
    sample = torch.randn(3 * width, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sample = sample * torch.linspace(0.2, 2, width, dtype=torch.float64)
    return sample.T @ sample / len(sample)
