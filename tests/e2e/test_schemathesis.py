"""Requests made up from the OpenAPI document, right and wrong ones, against the application over the fakes."""

import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.unit.api.harness import World, settings

# Pinned, so that a new release of the tool brings no new opinions into the build by itself.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]

WORLD = World(settings())
JOBS = [WORLD.add_job().id, WORLD.start(WORLD.add_job()).id, WORLD.succeed(WORLD.add_job()).id]
PROBES = [WORLD.add_probe().id, WORLD.answer(WORLD.add_probe()).id]
KNOWN = {
    "probe_id": PROBES,
    "job_id": JOBS,
    "request_id": [WORLD.jobs.requests_of(job)[0].id for job in JOBS],
    "base_model_id": ["people/neo-6m"],
    "code": ["internal"],
    "name": ["loku", "npo"],
}
KEY = {"Authorization": f"Bearer {WORLD.token()}"}

schema = schemathesis.openapi.from_asgi("/openapi.json", WORLD.app)


@schema.parametrize()
@hypothesis_settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_what_the_document_says_is_what_happens(case):
    _point_at_what_exists(case)
    response = case.call(headers=None if _is_about_headers(case) else KEY)
    case.validate_response(response, checks=CHECKS)


def _is_about_headers(case):
    """Whether the case is wrong in its headers, of which there is one, the key: our own would put it right again."""
    about = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    return about is not None and about.mode is GenerationMode.NEGATIVE


def _point_at_what_exists(case):
    """Give every other well-formed path an id that exists; made-up ids would all end in 404."""
    is_right = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    for name, value in (case.path_parameters or {}).items():
        if is_right and len(str(value)) % 2 == 0:
            case.path_parameters[name] = KNOWN[name][len(str(value)) // 2 % len(KNOWN[name])]
