"""What the API costs beside the SQL that it sends, and whether that stays the same while the tables grow."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from bench.performance.http_deployment import Filled, filled
from bench.performance.http_load import Burst, burst, request_bytes
from bench.performance.http_sides import bare_api, our_api
from bench.performance.row import Row, Target

_RATE = Target("at least", 0.7)
_FLAT = Target("at most", 1.25)  # our reading of "flat": bursts on one and the same database differ by as much

_OURS_ALONE = {
    "GET": "checks the key, validates, and writes metrics and a log line",
    "POST": "checks the key, validates, counts the tokens of six items, asks what memory the job needs, sends a Celery "
    "message to a real Valkey, and writes metrics and a log line",
}


@dataclass(frozen=True)
class Sizes:
    """How much is asked of how full a database."""

    few: int = 100
    many: int = 100_000  # a multiple of few
    reads: int = 1000  # in a burst
    writes: int = 300
    lists: int = 200
    connections: int = 8  # while throughput is measured; latency is that of one request at a time


@dataclass(frozen=True)
class Route:
    """A kind of request, the same on every side, and the status that answers it."""

    name: str
    requests: Callable[[Filled], list[bytes]]
    status: int


@dataclass(frozen=True)
class Side:
    """A server on a database."""

    port: int
    filled: Filled

    def burst(self, route: Route, *, connections: int = 1) -> Burst:
        """Send the route's requests, and return what came of them."""
        return burst(self.port, route.requests(self.filled), connections=connections, status=route.status)


@dataclass(frozen=True)
class Sides:
    """Our API with few jobs and with many, and the bare routes with few."""

    few: Side
    many: Side
    bare: Side


def rows(*, repeats: int, sizes: Sizes | None = None) -> list[Row]:
    """Return the rows of the table that are about the API."""
    sizes = sizes or Sizes()
    get, post = _get_job(sizes.reads), _post_request(sizes.writes)
    lists = [_get_list(path, sizes.lists) for path in ("/v1/jobs?limit=20", "/v1/deletion-requests?limit=20")]
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as directory, _sides(Path(directory), sizes) as sides:
        # First what only reads, and last what fills a database further.
        flat = [_flat(route, sides, sizes, None, repeats=repeats) for route in lists]
        flat = [*(_flat(route, sides, sizes, _FLAT, repeats=repeats) for route in (get, post)), *flat]
        return [
            *_throughput(get, sides, sizes, repeats=repeats),
            *_throughput(post, sides, sizes, repeats=repeats),
            *flat,
        ]


def _get_job(count: int) -> Route:
    def requests(filled: Filled) -> list[bytes]:
        paths = (f"/v1/jobs/{job_id}" for job_id in filled.job_ids(limit=count))
        return _repeated([request_bytes("GET", path, key=filled.key) for path in paths], count)

    return Route("GET /v1/jobs/{id}", requests, 200)


def _post_request(count: int) -> Route:
    path = "/v1/deletion-requests"

    def requests(filled: Filled) -> list[bytes]:
        bodies = (json.dumps(body).encode() for body in filled.bodies)
        return _repeated([request_bytes("POST", path, key=filled.key, body=body) for body in bodies], count)

    return Route(f"POST {path}", requests, 202)


def _get_list(path: str, count: int) -> Route:
    return Route(f"GET {path}", lambda filled: [request_bytes("GET", path, key=filled.key)] * count, 200)


def _repeated(requests: list[bytes], count: int) -> list[bytes]:
    return list(islice(cycle(requests), count))


def _throughput(route: Route, sides: Sides, sizes: Sizes, *, repeats: int) -> list[Row]:
    def pair() -> tuple[Burst, Burst]:
        ours, bare = (side.burst(route, connections=sizes.connections) for side in (sides.few, sides.bare))
        return ours, bare

    pair()
    pairs = [pair() for _ in range(repeats)]
    count = len(pairs[0][0].latencies)
    how = (
        f"bursts of {count} requests over {sizes.connections} connections to the API of `lethe serve` and to FastAPI "
        "routes that send the same statements through the same engine in the same transactions, and read and write "
        f"JSON; ours also {_OURS_ALONE[route.name.partition(' ')[0]]}"
    )
    return [
        Row.of(
            f"{route.name}: requests a second over those of a bare FastAPI route with the same SQL",
            [ours.rate / bare.rate for ours, bare in pairs],
            _RATE,
            how,
        ),
        Row.of(
            f"{route.name}: the client's processor time over the time in which the bare route answers",
            [bare.client_seconds / bare.seconds for _, bare in pairs],
            None,
            "prepared bytes over open sockets; near 0, or the client would be measured and not the servers",
        ),
    ]


def _flat(route: Route, sides: Sides, sizes: Sizes, target: Target | None, *, repeats: int) -> Row:
    def ratio() -> float:
        few, many = (side.burst(route).p99 for side in (sides.few, sides.many))
        return many / few

    ratio()
    return Row.of(
        f"{route.name}: p99 with {sizes.many:,} jobs in the table over p99 with {sizes.few:,}",
        [ratio() for _ in range(repeats)],
        target,
        f"bursts of {len(route.requests(sides.few.filled))} requests, one at a time, to two servers; several tenants, "
        "with the events, requests, texts and measurements that such jobs leave",
    )


@contextmanager
def _sides(directory: Path, sizes: Sizes) -> Iterator[Sides]:
    few = filled(directory / "few", count=sizes.few)
    recorded = directory / "recorded"
    few.recorded().write(recorded)
    many, bare = few.copied(directory / "many", times=sizes.many // sizes.few), few.copied(directory / "bare")
    with ExitStack() as running:
        yield Sides(
            Side(running.enter_context(our_api(few.deployment)), few),
            Side(running.enter_context(our_api(many.deployment)), many),
            Side(running.enter_context(bare_api(bare.deployment, recorded)), bare),
        )
