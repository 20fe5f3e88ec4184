import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from cli.errors import CommandError

# The kernel gives a unix socket's path 104 bytes on macOS and 108 on Linux, the last of them a zero.
_MAX_SOCKET_PATH_BYTES = 103


@dataclass(frozen=True)
class Deployment:
    """A whole deployment in one directory, on one machine, with nothing to install beside it.

    The API and the worker do not know this class: they read the environment that it derives, by the same names
    that a production deployment sets.
    """

    data_dir: Path
    socket: Path

    @classmethod
    def at(cls, data_dir: Path) -> Self:
        """Return the deployment in this directory, which is made, with its secret, if absent. Only we may read it.

        Raises:
            CommandError: the directory is somebody else's, or one that many share, such as ``/tmp``.
        """
        data_dir = data_dir.resolve()
        for directory in (data_dir, data_dir / "logs", data_dir / "work"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _close_to_others(directory)
        _make_secret(data_dir / "secret.key")
        return cls(data_dir, _socket_directory(data_dir) / "valkey.sock")

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings of this deployment's processes."""
        return {
            "LETHE_DATABASE_URL": self.database_url,
            "LETHE_BROKER_URL": f"redis+socket://{quote(str(self.socket))}",
            "LETHE_STORE_URL": f"file://{quote(str(self.data_dir / 'artifacts'))}",
            "LETHE_SECRET_KEY": (self.data_dir / "secret.key").read_text().strip(),
            "LETHE_WORK_DIR": str(self.data_dir / "work"),
        }

    @property
    def database_url(self) -> str:
        """Return the URL of the SQLite file."""
        return f"sqlite:///{quote(str(self.data_dir / 'lethe.db'))}"

    def clear_scratch(self) -> None:
        """Remove what killed runs left. Only for who holds the lock on the directory: no run is under way then."""
        for left in (self.data_dir / "work").iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def log_of(self, part: str) -> Path:
        """Return where a process of this deployment logs."""
        return self.data_dir / "logs" / f"{part}.log"


def environment_at(data_dir: Path | None) -> Mapping[str, str]:
    """Return the settings of the deployment in the directory, or, without one, none beside those already set."""
    return {} if data_dir is None else Deployment.at(data_dir).environment


def _close_to_others(directory: Path) -> None:
    """Take from others whatever rights they have in a directory that was there before us."""
    found = directory.stat()
    if found.st_uid != os.getuid() or found.st_mode & stat.S_ISVTX:
        raise CommandError(f"{directory} must be a directory of yours alone, for it will hold texts: choose another")
    if found.st_mode & 0o077:
        directory.chmod(0o700)


def _make_secret(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))


def _socket_directory(data_dir: Path) -> Path:
    """Return a directory for the broker's socket that nobody else may enter, with a path that is short enough."""
    directory = data_dir / "run"
    if len(os.fsencode(directory / "valkey.sock")) > _MAX_SOCKET_PATH_BYTES:
        name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
        directory = Path(tempfile.gettempdir()) / f"lethe-{os.getuid()}-{name}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or directory.is_symlink():
        raise PermissionError(f"{directory} must be a directory of ours that nobody else may enter: remove it")
    return directory
