from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, S3Store

from core.backends.storage.key import require_key
from core.domain.errors import ArtifactMissingError

if TYPE_CHECKING:
    from obstore.store import S3Config  # a type that does not exist at run time

PIECE_BYTES = 4 * 1024 * 1024
PROBE = ".probe"  # written and read back by every check


@dataclass(frozen=True)
class ObjectStore:
    """See :class:`core.ports.ArtifactStore`: a directory or an S3 bucket, through one library.

    Both replace an object at once: the directory by renaming a finished file, S3 by itself.
    """

    store: LocalStore | S3Store

    def put(self, key: str, payload: bytes) -> None:
        """See the port."""
        obstore.put(self.store, require_key(key), payload)

    def get(self, key: str) -> bytes:
        """See the port."""
        try:
            return bytes(obstore.get(self.store, require_key(key)).bytes())
        except (NotFoundError, FileNotFoundError) as missing:
            raise ArtifactMissingError(f"nothing is stored under {key}") from missing

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See the port. Each piece is a request of its own, so a slow reader holds neither memory nor a connection."""
        try:
            size = obstore.head(self.store, require_key(key))["size"]
        except (NotFoundError, FileNotFoundError) as missing:
            raise ArtifactMissingError(f"nothing is stored under {key}") from missing
        stop = size if end is None else min(end, size)
        return (
            bytes(obstore.get_range(self.store, key, start=place, end=min(place + PIECE_BYTES, stop)))
            for place in range(start, stop, PIECE_BYTES)
        )

    def exists(self, key: str) -> bool:
        """See the port."""
        try:
            obstore.head(self.store, require_key(key))
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    def keys(self, folder: str) -> Iterator[str]:
        """See the port."""
        pages = obstore.list(self.store, prefix=require_key(folder))
        return (found["path"] for page in pages for found in page)

    def delete(self, key: str) -> None:
        """See the port."""
        try:
            obstore.delete(self.store, require_key(key))
        except (NotFoundError, FileNotFoundError):
            return  # S3 does not mind; a directory does

    def check(self) -> None:
        """See the port. Only a write finds a full disk or a key without rights."""
        self.put(PROBE, b"ready")
        self.get(PROBE)


def open_store(
    url: str,
    *,
    endpoint: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    region: str | None = None,
) -> ObjectStore:
    """Return the store at ``file:///directory`` (made if absent) or ``s3://bucket/prefix``.

    The other arguments are for S3; an endpoint is given for anything but Amazon's own, and may be plain ``http``.

    Raises:
        ValueError: the URL is neither.
    """
    parsed = urlsplit(url)
    if parsed.scheme == "file" and not parsed.netloc and parsed.path:
        return ObjectStore(LocalStore(Path(unquote(parsed.path)), mkdir=True))
    if parsed.scheme == "s3" and parsed.netloc:
        config: S3Config = {
            "region": region or "us-east-1",
            "virtual_hosted_style_request": False,  # a local endpoint has no name for each bucket
        }
        if endpoint is not None:
            config["endpoint"] = endpoint
        if access_key is not None and secret_key is not None:  # else the environment or the machine's role knows them
            config["access_key_id"] = access_key
            config["secret_access_key"] = secret_key
        bucket = S3Store(
            parsed.netloc,
            prefix=parsed.path.strip("/") or None,
            config=config,
            client_options={"allow_http": True, "connect_timeout": "5s", "timeout": "300s"},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        )
        return ObjectStore(bucket)
    raise ValueError(f"{parsed.scheme}://... is no artifact store: use file:///directory or s3://bucket/prefix")
