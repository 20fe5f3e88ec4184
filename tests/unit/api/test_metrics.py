from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.examples import TENANT
from tests.unit.api.harness import OTHER_TENANT, World, settings


def _samples(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def test_requests_are_counted_by_route_template(world, client):
    job = world.add_job()
    for _ in range(3):
        client.get(f"/v1/jobs/{job.id}")
    client.get("/nope/1")
    labels = (("method", "GET"), ("route", "/v1/jobs/{job_id}"))
    samples = _samples(client)
    assert samples["lethe_http_requests_total", *labels, ("status", "200")] == 3
    assert samples["lethe_http_request_duration_seconds_count", *labels] == 3
    assert samples["lethe_http_requests_total", ("method", "GET"), ("route", "unmatched"), ("status", "404")] == 1


def test_an_invented_method_makes_no_label(client):
    client.request("BREW", "/v1/jobs")
    text = client.get("/metrics").text
    assert "BREW" not in text
    assert 'method="OTHER"' in text


def test_jobs_are_counted_by_state(world, client):
    world.start(world.add_job())
    world.add_job(tenant=OTHER_TENANT)
    samples = _samples(client)
    states = {key[1][1]: value for key, value in samples.items() if key[0] == "lethe_jobs"}
    assert states == {"queued": 1, "running": 1, "cancelling": 0, "succeeded": 0, "failed": 0, "cancelled": 0}


def test_metrics_survive_a_database_that_is_away(world, client, monkeypatch):
    def away():
        raise ConnectionError

    monkeypatch.setattr(world.jobs, "count_by_state", away)
    assert _samples(client)[("lethe_database_up",)] == 0


def test_no_label_holds_a_tenant_or_an_id(world, client):
    job = world.add_job()
    client.get(f"/v1/jobs/{job.id}")
    text = client.get("/metrics").text
    assert TENANT not in text
    assert job.id not in text


def test_two_applications_count_apart(client):
    client.get("/healthz")
    other = World(settings()).client()
    assert 'route="/healthz"' not in other.get("/metrics").text
