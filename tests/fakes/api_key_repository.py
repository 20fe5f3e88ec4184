from datetime import datetime

from core.domain.api_key import ApiKey
from core.domain.errors import AlreadyExistsError, NotFoundError
from core.ports import Page


class FakeApiKeyRepository:
    """Keys in a dict."""

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}

    def add(self, key: ApiKey) -> None:
        if self.keys.setdefault(key.id, key) is not key:
            raise AlreadyExistsError(f"key {key.id} exists")

    def get(self, key_id: str) -> ApiKey:
        try:
            return self.keys[key_id]
        except KeyError as missing:
            raise NotFoundError(f"no key {key_id}") from missing

    def list(self, *, after: str | None = None, limit: int = 100) -> Page[ApiKey]:
        following = [self.keys[key_id] for key_id in sorted(self.keys) if after is None or key_id > after]
        return Page(data=tuple(following[:limit]), has_more=len(following) > limit)

    def revoke(self, key_id: str, *, at: datetime) -> ApiKey:
        key = self.get(key_id)
        if key.revoked_at is None:
            self.keys[key_id] = key.model_copy(update={"revoked_at": at})
        return self.keys[key_id]
