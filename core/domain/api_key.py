import hashlib
import hmac
import re
import secrets
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from core.domain.identifiers import new_id

_TOKEN = re.compile(r"lethe_(?P<id_part>[0-9a-f]{24})_(?P<secret>[0-9a-f]{64})")

# Two tenants must differ to the eye, and neither may break a log line, a path or a file name.
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# Keeps this use of the deployment's secret apart from its others: no other digest can pass for a key's.
_PURPOSE = b"lethe.api_key/1:"


class ApiKey(BaseModel):
    """A bearer key as it is stored: the secret only as a keyed hash, so a stolen table opens nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    tenant: str
    secret_hmac: str  # hex HMAC-SHA256 under the deployment's secret
    created_at: AwareDatetime
    revoked_at: AwareDatetime | None = None  # a key that has one opens nothing; the row stays, for access logs name it


def mint(tenant: str, secret_key: bytes, now: datetime) -> tuple[ApiKey, str]:
    """Return a new key to store, and the token to show once: ``lethe_<id part>_<secret>``.

    The secret has 256 random bits, so a fast keyed hash protects it as well as a slow one would.

    Raises:
        ValueError: the tenant is no name.
    """
    if not _TENANT.fullmatch(tenant):
        raise ValueError(
            "a tenant has 1 to 64 letters, digits, '.', '_' or '-' of ASCII, and begins with a letter or a digit"
        )
    key_id = new_id("key")
    secret = secrets.token_hex(32)
    key = ApiKey(id=key_id, tenant=tenant, secret_hmac=_digest(secret, secret_key), created_at=now)
    return key, f"lethe_{key_id.removeprefix('key_')}_{secret}"


def key_id_of(presented: str) -> str | None:
    """Return the id under which a presented token would be stored, or None when it has not the form of one."""
    parts = _TOKEN.fullmatch(presented)
    return f"key_{parts['id_part']}" if parts else None


def matches(key: ApiKey, presented: str, secret_key: bytes) -> bool:
    """Whether the presented token is this key's. Takes the same time wherever the two differ."""
    parts = _TOKEN.fullmatch(presented)
    if parts is None or key.id != f"key_{parts['id_part']}":
        return False
    return hmac.compare_digest(key.secret_hmac, _digest(parts["secret"], secret_key))


def _digest(secret: str, secret_key: bytes) -> str:
    return hmac.new(secret_key, _PURPOSE + secret.encode(), hashlib.sha256).hexdigest()
