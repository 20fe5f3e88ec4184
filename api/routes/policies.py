from typing import Annotated

from fastapi import APIRouter, Path

from api.auth import TenantOf
from api.responses import refusals
from api.schemas.page import ListBody
from api.schemas.policy import PolicyBody
from core.domain.errors import NotFoundError
from core.domain.policy import POLICIES

router = APIRouter(tags=["policies"])

VersionedName = Annotated[
    str, Path(pattern=r"^[a-z]{1,40}-[0-9]{1,6}$", description="Name and version of a policy: `standard-1`.")
]


@router.get("/v1/policies", operation_id="listPolicies", summary="List policies", responses=refusals())
def list_policies(_tenant: TenantOf) -> ListBody[PolicyBody]:
    """Return every version of every policy, old ones too, since jobs and reports name them."""
    bodies = [PolicyBody.of(policy) for policy in POLICIES.values()]
    return ListBody[PolicyBody].of(bodies, has_more=False)


@router.get("/v1/policies/{name}", operation_id="getPolicy", summary="Read a policy", responses=refusals(NotFoundError))
def get_policy(name: VersionedName, _tenant: TenantOf) -> PolicyBody:
    """Return one version of a policy with its limits."""
    if name not in POLICIES:
        raise NotFoundError("no such policy; GET /v1/policies lists them")
    return PolicyBody.of(POLICIES[name])
