from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import PROBLEM_JSON, Problem
from api.schemas.base_model import BaseModelBody
from api.schemas.deletion_request import DeletionRequestBody, DeletionRequestWithItems, NewDeletionRequest
from api.schemas.job import JobBody
from api.schemas.probe import NewProbe, ProbeBody, ProbeWithResult

_DESCRIPTION = """Lethe makes language models forget.

File a **deletion request** with the texts to forget and the id of a base model; a **job** trains an adapter that
forgets them and measures what was forgotten and what was kept. Follow the job until its status is terminal, then
download the **adapter** (a zip that plain PEFT loads) and the **evaluation report**. A **probe** asks beforehand, or
afterwards with the adapter on, whether texts are memorised at all; it trains nothing. An **estimate** tells what a
deletion request would take in time and memory, and stores nothing.

Lists are pages: pass `last_id` as `after` while `has_more` is true. Times are RFC 3339 in UTC. Errors are
`application/problem+json` (RFC 9457); `code` is the word to branch on, `type` leads to a page about it, and no error
repeats what you sent. An id of another tenant is a 404, like one that does not exist.
"""

# Bodies that routes read by themselves, because authentication comes before parsing and parsing off the event loop.
_INPUT_REF = "#/components/schemas/{model}-Input"
NEW_DELETION_REQUEST_REF = _INPUT_REF.format(model="NewDeletionRequest")
NEW_PROBE_REF = _INPUT_REF.format(model="NewProbe")


class LetheApi(FastAPI):
    """The application, with an OpenAPI document that says all and only what happens."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, built once."""
        if self.openapi_schema is None:
            document = get_openapi(
                title="Lethe", version=self.version, description=_DESCRIPTION, routes=self.routes, tags=_TAGS
            )
            _drop_default_validation_errors(document)
            document["components"]["schemas"].update(_own_schemas())
            _restore_nulls(document)
            self.openapi_schema = document
        return self.openapi_schema


_TAGS = [
    {"name": "deletion requests", "description": "What clients ask to be forgotten."},
    {"name": "estimates", "description": "What a deletion request would take, before anything runs."},
    {"name": "jobs", "description": "The unlearning runs that serve them."},
    {"name": "packages", "description": "What a succeeded job delivers."},
    {"name": "probes", "description": "Whether texts are memorised, asked without training anything."},
    {"name": "base models", "description": "What may be named in a request, with limits."},
    {"name": "methods", "description": "How a model can be made to forget, with every option."},
    {"name": "policies", "description": "What is measured, and what it must show, version by version."},
    {"name": "operations", "description": "For whoever runs this deployment; no key needed."},
]


def _drop_default_validation_errors(document: dict[str, Any]) -> None:
    """Remove the 422 that the framework declares by itself: ours has another body, and not every route has one."""
    for operations in document["paths"].values():
        for operation in operations.values():
            declared = operation["responses"].get("422", {})
            if "HTTPValidationError" in str(declared.get("content", {})):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _own_schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {"Problem": Problem.model_json_schema()}
    for body in (NewDeletionRequest, NewProbe):
        schema = body.model_json_schema(ref_template=_INPUT_REF)
        definitions = schema.pop("$defs", {})
        schemas |= {f"{name}-Input": definition for name, definition in definitions.items()}
        schemas[f"{body.__name__}-Input"] = schema
    return schemas


def _restore_nulls(document: dict[str, Any]) -> None:
    """Put back what the framework drops from examples: a null is part of an answer."""
    schemas = document["components"]["schemas"]
    for body in (JobBody, DeletionRequestBody, DeletionRequestWithItems, ProbeBody, ProbeWithResult, BaseModelBody):
        schemas[body.__name__]["examples"] = body.model_json_schema()["examples"]
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                examples = response.get("content", {}).get(PROBLEM_JSON, {}).get("examples", {})
                for example in examples.values():
                    example["value"].setdefault("param", None)
