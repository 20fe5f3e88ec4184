from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI

from api.handlers import install_handlers
from api.metrics import Metrics
from api.middleware import RequestBoundary
from api.openapi import LetheApi
from api.readiness import Readiness, probes_of
from api.routes import ROUTERS
from api.services import Services
from api.settings import ApiSettings
from api.tokens import TokenCounter
from core.domain.errors import QueueUnavailableError
from core.jobs.admission import Admission
from core.jobs.cancel import Cancel
from core.jobs.destroy_probed import DestroyProbed
from core.jobs.estimate import EstimateJob
from core.jobs.history import History
from core.jobs.intake import Limits
from core.jobs.submission import CheckSubmission
from core.jobs.submit import Submit
from core.jobs.submit_probe import SubmitProbe


def build_app(services: Services, settings: ApiSettings) -> FastAPI:
    """Return the application over these services. Every object that outlives a request is made here."""
    metrics = Metrics(services.jobs, services.outages)

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        services.close()

    app = LetheApi(
        version=_version(),
        docs_url=None,  # the viewers load scripts from elsewhere, which our own content policy forbids
        redoc_url=None,
        redirect_slashes=False,  # one path for one thing; a redirect would also drop the body of a POST
        lifespan=closing,
    )
    app.state.services = services
    app.state.settings = settings
    app.state.metrics = metrics
    count_tokens = TokenCounter(services.artifacts)
    admission = Admission(History(services.measurements), services.workers, services.clock)
    check = CheckSubmission(services.base_models, services.items, _limits(settings), count_tokens, admission)
    app.state.submit = _submit(services, settings, check)
    app.state.estimate = EstimateJob(check, admission, services.jobs, services.clock)
    app.state.submit_probe = _submit_probe(services, settings, count_tokens)
    app.state.destroy_probed = DestroyProbed(jobs=services.jobs, items=services.items, clock=services.clock)
    app.state.cancel = Cancel(jobs=services.jobs, clock=services.clock)
    app.state.readiness = Readiness(probes_of(services), timeout_seconds=settings.readiness_timeout_seconds)
    for router in ROUTERS:
        # Not by include_router, which keeps the routers apart and looks through each of them twice a request.
        app.router.routes.extend(router.routes)
    install_handlers(app, (*services.outages, QueueUnavailableError))
    app.add_middleware(RequestBoundary, metrics=metrics)
    return app


def _submit(services: Services, settings: ApiSettings, check: CheckSubmission) -> Submit:
    return Submit(
        check=check,
        jobs=services.jobs,
        items=services.items,
        queue=services.queue,
        clock=services.clock,
        secret=settings.secret_bytes,
    )


def _submit_probe(services: Services, settings: ApiSettings, count_tokens: TokenCounter) -> SubmitProbe:
    return SubmitProbe(
        jobs=services.jobs,
        base_models=services.base_models,
        items=services.items,
        queue=services.queue,
        clock=services.clock,
        limits=_limits(settings),
        count_tokens=count_tokens,
        secret=settings.secret_bytes,
    )


def _limits(settings: ApiSettings) -> Limits:
    return Limits(
        max_forget_items=settings.max_forget_items,
        max_retain_items=settings.max_retain_items,
        max_item_characters=settings.max_item_characters,
    )


def _version() -> str:
    try:
        return version("lethe")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0"
