from typing import Annotated

from fastapi import APIRouter, Path

from api.auth import TenantOf
from api.responses import refusals
from api.schemas.method import MethodBody
from api.schemas.page import ListBody
from core.domain.catalog import METHOD_OPTIONS
from core.domain.errors import NotFoundError

router = APIRouter(tags=["methods"])

MethodName = Annotated[str, Path(pattern=r"^[a-z][a-z_0-9]{0,40}$", description="Name of a method.")]


@router.get("/v1/methods", operation_id="listMethods", summary="List unlearning methods", responses=refusals())
def list_methods(_tenant: TenantOf) -> ListBody[MethodBody]:
    """Return every method that `method.name` may be, each with its options as JSON Schema."""
    return ListBody[MethodBody].of([MethodBody.of(name) for name in METHOD_OPTIONS], has_more=False)


@router.get(
    "/v1/methods/{name}",
    operation_id="getMethod",
    summary="Read an unlearning method",
    responses=refusals(NotFoundError),
)
def get_method(name: MethodName, _tenant: TenantOf) -> MethodBody:
    """Return one method with its options as JSON Schema."""
    if name not in METHOD_OPTIONS:
        raise NotFoundError("no such method; GET /v1/methods lists them")
    return MethodBody.of(name)
