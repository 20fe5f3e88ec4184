from core.domain.api_key import ApiKey
from core.domain.errors import AlreadyExistsError, NotFoundError


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
