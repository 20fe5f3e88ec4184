from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase

from api.dependencies import services_of, settings_of
from api.services import Services
from core.domain.api_key import ApiKey, key_id_of, matches
from core.domain.errors import NotFoundError, UnauthenticatedError
from core.ports import ApiKeyRepository


def authenticate(presented: str, *, keys: ApiKeyRepository, secret_key: bytes) -> ApiKey:
    """Return the key that was presented.

    Raises:
        UnauthenticatedError: malformed, unknown, wrong or revoked; which of them is not said.
    """
    key_id = key_id_of(presented)
    if key_id is None:
        raise UnauthenticatedError
    try:
        key = keys.get(key_id)
    except NotFoundError:
        raise UnauthenticatedError from None
    if not matches(key, presented, secret_key) or key.revoked_at is not None:
        raise UnauthenticatedError
    return key


@dataclass(frozen=True)
class Caller:
    """Who sends the request, by a key that has the form of one and was not looked up yet.

    To look it up takes the database, and so a thread. A route that is asked often does it in the thread that it has
    anyway: :data:`TenantOf` costs another visit to the pool, which takes as long as the query.
    """

    request: Request = field(repr=False)
    presented: str = field(repr=False)

    @property
    def services(self) -> Services:
        """What the application was built over."""
        return services_of(self.request)

    def tenant(self) -> str:
        """Return the tenant whose key came with the request, or raise UnauthenticatedError."""
        secret_key = settings_of(self.request).secret_bytes
        key = authenticate(self.presented, keys=self.services.api_keys, secret_key=secret_key)
        self.request.state.key_id = key.id  # for the access log
        return key.tenant


class _Bearer(SecurityBase):
    """The scheme as the OpenAPI document names it, and what it asks of a request.

    FastAPI's own ``HTTPBearer`` would be a dependency below this one, which costs more than all that is done here.
    """

    def __init__(self) -> None:
        self.model = HTTPBearerModel(bearerFormat="lethe_<id>_<secret>", description="A key of `lethe keys create`.")
        self.scheme_name = "HTTPBearer"

    async def __call__(self, request: Request) -> Caller:
        """Return who has sent the request; UnauthenticatedError where nothing of the form of a key came with it."""
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key_id_of(presented.strip()) is None:
            raise UnauthenticatedError
        return Caller(request, presented.strip())


CallerOf = Annotated[Caller, Depends(_Bearer())]


def current_tenant(caller: CallerOf) -> str:
    """Return the tenant whose key came with the request."""
    return caller.tenant()


TenantOf = Annotated[str, Depends(current_tenant)]
