from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.auth import TenantOf
from api.cursor import known_cursor
from api.dependencies import ServicesOf, SettingsOf
from api.errors import InvalidCursorError, InvalidFieldError, UnknownFieldError
from api.responses import refusals
from api.schemas.base_model import BaseModelBody, BaseModelsQuery
from api.schemas.page import ListBody
from core.domain.errors import NotFoundError

router = APIRouter(tags=["base models"])

# The same pattern as core.domain.base_model.BaseModelId, whose slashes make it a path and not a segment.
ModelId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$", description="Id of a base model.")]


@router.get(
    "/v1/base-models",
    operation_id="listBaseModels",
    summary="List base models by id",
    responses=refusals(InvalidFieldError, UnknownFieldError, InvalidCursorError),
)
def list_base_models(
    query: Annotated[BaseModelsQuery, Query()], _tenant: TenantOf, services: ServicesOf, settings: SettingsOf
) -> ListBody[BaseModelBody]:
    """Return a page of what may be named in a request."""
    with known_cursor():
        page = services.base_models.list(after=query.after, limit=query.limit)
    bodies = [BaseModelBody.of(model, settings) for model in page.data]
    return ListBody[BaseModelBody].of(bodies, has_more=page.has_more)


@router.get(
    "/v1/base-models/{base_model_id:path}",
    operation_id="getBaseModel",
    summary="Read a base model",
    responses=refusals(NotFoundError),
)
def get_base_model(
    base_model_id: ModelId, _tenant: TenantOf, services: ServicesOf, settings: SettingsOf
) -> BaseModelBody:
    """Return one base model with its limits and methods."""
    return BaseModelBody.of(services.base_models.get(base_model_id), settings)
