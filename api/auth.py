from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.dependencies import ServicesOf, SettingsOf
from core.domain.api_key import ApiKey, key_id_of, matches
from core.domain.errors import NotFoundError, UnauthenticatedError
from core.ports import ApiKeyRepository

_BEARER = HTTPBearer(auto_error=False, bearerFormat="lethe_<id>_<secret>", description="A key of `lethe keys create`.")


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


def current_tenant(
    request: Request,
    services: ServicesOf,
    settings: SettingsOf,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> str:
    """Return the tenant whose key came with the request."""
    if credentials is None:
        raise UnauthenticatedError
    key = authenticate(credentials.credentials, keys=services.api_keys, secret_key=settings.secret_bytes)
    request.state.key_id = key.id  # for the access log
    return key.tenant


TenantOf = Annotated[str, Depends(current_tenant)]
