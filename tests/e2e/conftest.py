"""A whole deployment on real parts, and a base model that knows a few made-up people by heart."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.client import ApiClient, open_client
from cli.demo.base_model import ensure_base_model
from cli.demo.options import DemoOptions
from cli.demo.people import Population
from cli.demo.service import free_port, make_key, register_once
from cli.deployment import Deployment
from cli.stack import Stack, running_stack
from core.domain.base_model import RegisteredBaseModel

# Small enough to be trained within seconds, large enough to be memorised.
OPTIONS = DemoOptions(
    num_forget=1,
    num_retain=20,
    num_unseen=2,
    num_holdout=3,
    vocab_size=600,
    hidden_size=96,
    num_layers=2,
    num_heads=4,
    learning_rate=4e-3,
    warmup_steps=20,
    max_epochs=60,
)


@dataclass(frozen=True)
class Deployed:
    """A running stack, and everything that a client and an operator of it hold."""

    stack: Stack
    data_dir: Path
    key: str
    client: ApiClient
    base_path: Path
    model: RegisteredBaseModel
    population: Population


@pytest.fixture(scope="session")
def small_base(tmp_path_factory) -> Path:
    return ensure_base_model(tmp_path_factory.mktemp("base-models"), OPTIONS)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory, small_base) -> Iterator[Deployed]:
    data_dir = tmp_path_factory.mktemp("deployment")
    population = OPTIONS.population()
    with running_stack(Deployment.at(data_dir), host="127.0.0.1", port=free_port()) as stack:
        model = register_once(small_base, population, data_dir)
        key = make_key(data_dir)
        yield Deployed(stack, data_dir, key, open_client(url=stack.url, key=key), small_base, model, population)
