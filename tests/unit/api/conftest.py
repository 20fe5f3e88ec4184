import pytest

from tests.unit.api.harness import World, settings


@pytest.fixture
def world():
    return World(settings())


@pytest.fixture
def client(world):
    return world.client()
