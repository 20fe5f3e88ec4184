from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.demo.base_model import ensure_base_model
from cli.demo.memorise import Epoch
from cli.demo.options import DemoOptions


@dataclass(frozen=True)
class Trained:
    path: Path
    options: DemoOptions
    epochs: list[Epoch]


@pytest.fixture(scope="session")
def tiny_options() -> DemoOptions:
    return DemoOptions(
        num_forget=1,
        num_retain=1,
        num_unseen=1,
        num_holdout=1,
        vocab_size=400,
        hidden_size=64,
        num_layers=2,
        num_heads=2,
        learning_rate=5e-3,
        warmup_steps=10,
        max_epochs=80,
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_options) -> Trained:
    epochs: list[Epoch] = []
    path = ensure_base_model(tmp_path_factory.mktemp("cache"), tiny_options, on_epoch=epochs.append)
    return Trained(path, tiny_options, epochs)
