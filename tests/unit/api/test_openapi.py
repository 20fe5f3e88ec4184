import pytest
from jsonschema import Draft202012Validator

from core.domain.policy import DEFAULT_POLICY, current
from core.domain.probe import ProbeResult
from core.pipeline.probe import SHOWN, _caveats, _totals
from tests.unit.api.harness import World, a_body, settings

CONTRACT = {
    ("post", "/v1/deletion-requests"): "createDeletionRequest",
    ("get", "/v1/deletion-requests"): "listDeletionRequests",
    ("get", "/v1/deletion-requests/{request_id}"): "getDeletionRequest",
    ("post", "/v1/estimates"): "createEstimate",
    ("get", "/v1/jobs"): "listJobs",
    ("get", "/v1/jobs/{job_id}"): "getJob",
    ("get", "/v1/jobs/{job_id}/events"): "listJobEvents",
    ("post", "/v1/jobs/{job_id}/cancel"): "cancelJob",
    ("get", "/v1/jobs/{job_id}/adapter"): "getAdapter",
    ("head", "/v1/jobs/{job_id}/adapter"): "headAdapter",
    ("get", "/v1/jobs/{job_id}/report"): "getReport",
    ("head", "/v1/jobs/{job_id}/report"): "headReport",
    ("post", "/v1/probes"): "createProbe",
    ("get", "/v1/probes"): "listProbes",
    ("get", "/v1/probes/{probe_id}"): "getProbe",
    ("get", "/v1/probes/{probe_id}/events"): "listProbeEvents",
    ("post", "/v1/probes/{probe_id}/cancel"): "cancelProbe",
    ("get", "/v1/base-models"): "listBaseModels",
    ("get", "/v1/base-models/{base_model_id}"): "getBaseModel",
    ("get", "/healthz"): "getHealth",
    ("head", "/healthz"): "headHealth",
    ("get", "/readyz"): "getReadiness",
    ("head", "/readyz"): "headReadiness",
    ("get", "/metrics"): "getMetrics",
    ("get", "/v1/methods"): "listMethods",
    ("get", "/v1/methods/{name}"): "getMethod",
    ("get", "/v1/policies"): "listPolicies",
    ("get", "/v1/policies/{name}"): "getPolicy",
    ("get", "/problems"): "listProblems",
    ("get", "/problems/{code}"): "getProblem",
}


@pytest.fixture(scope="module")
def document():
    response = World(settings()).client(tenant=None).get("/openapi.json")
    assert response.status_code == 200
    return response.json()


def _operations(document):
    return {
        (method, path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def _resolved(document, schema):
    return {"$defs": {}, **schema, "components": document["components"]}


def test_operation_ids_are_stable(document):
    assert {key: operation["operationId"] for key, operation in _operations(document).items()} == CONTRACT


def test_every_operation_is_described_and_tagged(document):
    tags = {tag["name"] for tag in document["tags"]}
    for operation in _operations(document).values():
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags


def test_every_route_with_a_key_declares_it_and_its_refusals(document):
    for (_, path), operation in _operations(document).items():
        if path.startswith("/v1/"):
            assert operation["security"] == [{"HTTPBearer": []}]
            assert {"401", "500", "503"} <= set(operation["responses"])
            assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]


def test_every_error_is_declared_as_a_problem(document):
    for operation in _operations(document).values():
        for status, response in operation["responses"].items():
            if status >= "4":
                assert list(response["content"]) == ["application/problem+json"]


def test_every_reference_leads_somewhere(document):
    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for member in node.values():
                yield from references(member)
        elif isinstance(node, list):
            for member in node:
                yield from references(member)

    names = document["components"]["schemas"]
    found = {reference.rpartition("/")[2] for reference in references(document) if isinstance(reference, str)}
    assert found <= set(names)
    assert "HTTPValidationError" not in names


def test_every_example_fits_its_schema(document):
    checked = 0
    for schema in document["components"]["schemas"].values():
        for example in schema.get("examples", []):
            Draft202012Validator(_resolved(document, schema)).validate(example)
            checked += 1
    assert checked >= 8


def test_every_example_of_a_problem_fits_its_schema(document):
    problem = Draft202012Validator(_resolved(document, document["components"]["schemas"]["Problem"]))
    for operation in _operations(document).values():
        for status, response in operation["responses"].items():
            if status >= "4":
                for example in response["content"]["application/problem+json"]["examples"].values():
                    problem.validate(example["value"])


def test_the_example_of_a_request_is_accepted(client, document):
    (example,) = document["components"]["schemas"]["NewDeletionRequest-Input"]["examples"]
    assert client.post("/v1/deletion-requests", json=example).status_code == 202


def test_the_example_of_a_request_can_be_estimated(client, document):
    (example,) = document["components"]["schemas"]["NewDeletionRequest-Input"]["examples"]
    assert client.post("/v1/estimates", json=example).status_code == 200


def test_the_example_of_a_probe_is_accepted(client, document):
    (example,) = document["components"]["schemas"]["NewProbe-Input"]["examples"]
    assert client.post("/v1/probes", json=example).status_code == 202


def test_the_example_of_a_probes_result_is_what_a_probe_would_answer(document):
    example = document["components"]["schemas"]["ProbeWithResult"]["examples"][0]["result"]
    result, policy = ProbeResult.model_validate(example), current(DEFAULT_POLICY)

    assert result.thresholds.policy == policy.name
    limits = {limit.metric: limit.at_most for limit in result.thresholds.limits}
    assert limits == {gate.metric: gate.item_at_most for gate in policy.forget}
    for item in result.items:
        assert set(item.metrics) == {*SHOWN, *limits}
        assert item.memorised is any(item.metrics[metric] > at_most for metric, at_most in limits.items())
    assert result.totals == _totals(result.items, result.thresholds)
    assert result.caveats == _caveats(result.thresholds)


def test_the_body_of_a_request_is_declared(document):
    body = document["paths"]["/v1/deletion-requests"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    Draft202012Validator(_resolved(document, schema)).validate(a_body(method={"name": "loku", "r": 8}))
