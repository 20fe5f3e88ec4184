"""What routes ask for by type. Everything was built once, in ``api.main``; nothing is built here.

These few are coroutines, because a plain function would cost a hop to the thread pool for one attribute.
"""

from typing import Annotated, cast

from fastapi import Depends, Request

from api.metrics import Metrics
from api.readiness import Readiness
from api.services import Services
from api.settings import ApiSettings
from core.jobs.cancel import Cancel
from core.jobs.destroy_probed import DestroyProbed
from core.jobs.estimate import EstimateJob
from core.jobs.submit import Submit
from core.jobs.submit_probe import SubmitProbe


def services_of(request: Request) -> Services:
    """Return what the application was built over."""
    return cast("Services", request.app.state.services)


def settings_of(request: Request) -> ApiSettings:
    """Return how it is deployed."""
    return cast("ApiSettings", request.app.state.settings)


async def _services(request: Request) -> Services:
    return services_of(request)


async def _settings(request: Request) -> ApiSettings:
    return settings_of(request)


async def _submit(request: Request) -> Submit:
    return cast("Submit", request.app.state.submit)


async def _estimate(request: Request) -> EstimateJob:
    return cast("EstimateJob", request.app.state.estimate)


async def _submit_probe(request: Request) -> SubmitProbe:
    return cast("SubmitProbe", request.app.state.submit_probe)


async def _destroy_probed(request: Request) -> DestroyProbed:
    return cast("DestroyProbed", request.app.state.destroy_probed)


async def _cancel(request: Request) -> Cancel:
    return cast("Cancel", request.app.state.cancel)


async def _readiness(request: Request) -> Readiness:
    return cast("Readiness", request.app.state.readiness)


async def _metrics(request: Request) -> Metrics:
    return cast("Metrics", request.app.state.metrics)


ServicesOf = Annotated[Services, Depends(_services)]
SettingsOf = Annotated[ApiSettings, Depends(_settings)]
SubmitOf = Annotated[Submit, Depends(_submit)]
EstimateOf = Annotated[EstimateJob, Depends(_estimate)]
SubmitProbeOf = Annotated[SubmitProbe, Depends(_submit_probe)]
DestroyProbedOf = Annotated[DestroyProbed, Depends(_destroy_probed)]
CancelOf = Annotated[Cancel, Depends(_cancel)]
ReadinessOf = Annotated[Readiness, Depends(_readiness)]
MetricsOf = Annotated[Metrics, Depends(_metrics)]
