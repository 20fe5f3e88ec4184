import shutil
import tempfile
from pathlib import Path

import pytest

from core.backends.sql.migrate import upgrade
from tests.integration.stack import Stack


@pytest.fixture
def stack(tmp_path):
    broker_directory = Path(tempfile.mkdtemp(prefix="lethe"))
    stack = Stack(tmp_path, broker_directory)
    upgrade(stack.environment["LETHE_DATABASE_URL"])
    stack.start_broker()
    yield stack
    stack.stop()
    shutil.rmtree(broker_directory)
