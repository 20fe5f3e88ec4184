"""FastAPI routes that do the SQL of our routes and nothing else, as a process of its own.

``python -m bench.performance.bare_http --database URL --recorded FILE --port N``

No key is compared, nothing is validated, counted, published, logged or measured: JSON comes in, the recorded
statements are sent in the recorded transactions with fresh ids, JSON goes out.
"""

import argparse
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from pydantic_core import to_json
from sqlalchemy import Engine

from bench.performance.recorded_sql import Recorded, ids_in
from core.backends.sql.engine import open_engine


def bare_app(engine: Engine, recorded: Recorded) -> FastAPI:
    """Return the two routes."""
    app = FastAPI(openapi_url=None)
    (read_id,) = ids_in(recorded.get)
    prefixes = {known: known.partition("_")[0] for known in ids_in(recorded.post)}

    @app.get("/v1/jobs/{job_id}")
    def get_job(job_id: str) -> Response:
        for transaction in recorded.get:
            rows = transaction.repeat(engine, {read_id: job_id})
        return _json(rows[0], 200)

    @app.post("/v1/deletion-requests")
    def create_deletion_request(body: dict[str, Any]) -> Response:
        fresh = {known: f"{prefix}_{secrets.token_hex(12)}" for known, prefix in prefixes.items()}
        for transaction in recorded.post:
            transaction.repeat(engine, fresh)
        ids = {name: fresh[recorded.answer[name]] for name in ("id", "job_id")}
        return _json({**recorded.answer, **ids, "external_id": body["external_id"]}, 202)

    return app


def _json(value: dict[str, Any], status: int) -> Response:
    return Response(to_json(value), status, media_type="application/json")


def main(given: Sequence[str] | None = None) -> None:
    """Serve until stopped, by the options of `lethe serve`."""
    parser = argparse.ArgumentParser(prog="bench.performance.bare_http", description=__doc__)
    parser.add_argument("--database", required=True)
    parser.add_argument("--recorded", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args(given)
    app = bare_app(open_engine(arguments.database), Recorded.read(arguments.recorded))
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, access_log=False, server_header=False)


if __name__ == "__main__":
    main()
