from datetime import UTC, datetime

from celery import Celery
from fastapi import FastAPI
from obstore.exceptions import GenericError
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.app import build_app
from api.logs import configure_logs
from api.services import Services
from api.settings import ApiSettings
from core.backends.queue import CELERY_SETTINGS, CeleryJobQueue
from core.backends.sql.api_key_repository import SqlApiKeyRepository
from core.backends.sql.base_model_repository import SqlBaseModelRepository
from core.backends.sql.engine import open_engine
from core.backends.sql.item_store import SqlItemStore
from core.backends.sql.job_repository import SqlJobRepository
from core.backends.sql.measurement_repository import SqlMeasurementRepository
from core.backends.sql.migrate import is_current
from core.backends.sql.worker_repository import SqlWorkerRepository
from core.backends.storage.object_store import ObjectStore, open_store

# How our backends say that they cannot be reached. An error that these do not cover is a bug, and a 500.
_OUTAGES = (OperationalError, InterfaceError, PoolTimeoutError, GenericError, ConnectionError, TimeoutError)


def create_app(settings: ApiSettings) -> FastAPI:
    """Return the API over the backends that the settings name. Nothing is connected before the first request."""
    engine = open_engine(settings.database_url.get_secret_value())
    celery = Celery("lethe", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    celery.conf.update(CELERY_SETTINGS)

    def close() -> None:
        engine.dispose()
        celery.close()

    services = Services(
        jobs=SqlJobRepository(engine),
        base_models=SqlBaseModelRepository(engine),
        api_keys=SqlApiKeyRepository(engine),
        items=SqlItemStore(engine),
        artifacts=_store(settings),
        queue=CeleryJobQueue(celery),
        measurements=SqlMeasurementRepository(engine),
        workers=SqlWorkerRepository(engine),
        clock=lambda: datetime.now(UTC),
        check_database=lambda: _require_current(engine),
        outages=_OUTAGES,
        close=close,
    )
    return build_app(services, settings)


def create_app_from_environment() -> FastAPI:
    """Return the API of this process: ``uvicorn --factory api.main:create_app_from_environment``."""
    settings = ApiSettings()
    configure_logs(settings.log_level)
    return create_app(settings)


def _store(settings: ApiSettings) -> ObjectStore:
    secret: SecretStr | None = settings.s3_secret_access_key
    return open_store(
        settings.store_url,
        endpoint=settings.s3_endpoint_url,
        access_key=settings.s3_access_key_id,
        secret_key=secret.get_secret_value() if secret else None,
        region=settings.s3_region,
    )


def _require_current(engine: Engine) -> None:
    if not is_current(engine):
        raise RuntimeError("the database has not the newest schema: migrate it")
