from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from cli.deployment import Deployment
from cli.settings import DeploymentSettings
from core.backends.sql.api_key_repository import SqlApiKeyRepository
from core.backends.sql.base_model_repository import SqlBaseModelRepository
from core.backends.sql.engine import open_engine
from core.backends.sql.item_store import SqlItemStore
from core.backends.sql.migrate import upgrade
from core.backends.storage.object_store import open_store
from core.ports import ApiKeyRepository, ArtifactStore, BaseModelRepository, ItemStore


@dataclass(frozen=True)
class Backends:
    """The world as the administrative commands see it: one implementation for each port."""

    api_keys: ApiKeyRepository
    base_models: BaseModelRepository
    items: ItemStore
    store: ArtifactStore
    secret_key: bytes


def open_backends(data_dir: Path | None) -> Backends:
    """Return the backends of the deployment in the directory, its database made if need be, or of the environment."""
    settings = _settings(data_dir)
    if data_dir is not None:
        upgrade(settings.database_url.get_secret_value())
    engine = open_engine(settings.database_url.get_secret_value())
    return Backends(
        api_keys=SqlApiKeyRepository(engine),
        base_models=SqlBaseModelRepository(engine),
        items=SqlItemStore(engine),
        store=open_store(
            settings.store_url,
            endpoint=settings.s3_endpoint_url,
            access_key=settings.s3_access_key_id,
            secret_key=_revealed(settings.s3_secret_access_key),
            region=settings.s3_region,
        ),
        secret_key=settings.secret_key.get_secret_value().encode(),
    )


def migrate(data_dir: Path | None) -> None:
    """Bring the deployment's database to the newest schema."""
    upgrade(_settings(data_dir).database_url.get_secret_value())


def utc_now() -> datetime:
    """The clock of a real deployment."""
    return datetime.now(UTC)


def _settings(data_dir: Path | None) -> DeploymentSettings:
    if data_dir is None:
        return DeploymentSettings()
    return DeploymentSettings.model_validate(
        {name.removeprefix("LETHE_").lower(): value for name, value in Deployment.at(data_dir).environment.items()}
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
