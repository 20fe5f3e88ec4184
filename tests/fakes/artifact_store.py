from collections.abc import Iterator

from core.backends.storage.key import require_key
from core.domain.errors import ArtifactMissingError

PIECE = 4096  # small, so that a test's payload comes in several pieces


class FakeArtifactStore:
    """Artifacts in a dict. While ``away``, every call fails as a store that cannot be reached."""

    def __init__(self) -> None:
        self.artifacts: dict[str, bytes] = {}
        self.away = False

    def put(self, key: str, payload: bytes) -> None:
        self.check()
        self.artifacts[require_key(key)] = bytes(payload)

    def get(self, key: str) -> bytes:
        self.check()
        try:
            return self.artifacts[require_key(key)]
        except KeyError as missing:
            raise ArtifactMissingError(f"nothing is stored under {key}") from missing

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        asked = self.get(key)[start:end]
        return (asked[place : place + PIECE] for place in range(0, len(asked), PIECE))

    def exists(self, key: str) -> bool:
        self.check()
        return require_key(key) in self.artifacts

    def keys(self, folder: str) -> Iterator[str]:
        self.check()
        below = f"{require_key(folder)}/"
        return iter([key for key in self.artifacts if key.startswith(below)])

    def delete(self, key: str) -> None:
        self.check()
        self.artifacts.pop(require_key(key), None)

    def check(self) -> None:
        if self.away:
            raise ConnectionError("the store is away")
