"""The main job as its users see it: over HTTP, on a real broker, in real processes, with real training."""

import json
import os
import signal
import sqlite3
import time
import zipfile
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest
import torch
from peft import PeftModel
from redis import Redis
from transformers import AutoModelForCausalLM

from cli.demo.service import items_of
from core.domain.policy import current
from core.packaging.check_package import check_package
from tests.e2e.conftest import Deployed

# In a forget text of some of the jobs below. Texts may be in the item store and in nothing else.
SENTINEL = "Quetzalcoatlus-7731"
WITHIN_SECONDS = 240


def forget_body(deployed: Deployed, **more: object) -> dict[str, object]:
    items = [item.model_dump(exclude_none=True) for item in items_of(deployed.population.forget)]
    return {"base_model": deployed.model.id, "forget": items, **more}


def with_sentinel(deployed: Deployed) -> list[dict[str, object]]:
    return [*forget_body(deployed)["forget"], {"text": f"The secret of the house is {SENTINEL}, said nobody."}]


def http(deployed: Deployed) -> httpx.Client:
    return httpx.Client(
        base_url=deployed.stack.url, headers={"Authorization": f"Bearer {deployed.key}"}, timeout=30, trust_env=False
    )


def submit(deployed: Deployed, **more: object) -> str:
    with http(deployed) as client:
        response = client.post("/v1/deletion-requests", json=forget_body(deployed, **more))
    assert response.status_code == 202, response.text
    return response.json()["job_id"]


def wait(deployed: Deployed, job_id: str, done) -> dict:
    deadline = time.monotonic() + WITHIN_SECONDS
    with http(deployed) as client:
        while True:
            job = client.get(f"/v1/jobs/{job_id}").json()
            if done(job):
                return job
            assert time.monotonic() < deadline, f"{job}\n{logs(deployed)[-4000:]}"
            deployed.stack.keep_alive()
            time.sleep(0.1)


def ended(job) -> bool:
    return job["is_terminal"]


def logs(deployed: Deployed) -> str:
    return "".join(file.read_text(errors="replace") for file in sorted(deployed.data_dir.glob("logs/*")))


def runner_of(deployed: Deployed) -> int:
    """The process of the job that runs: a worker has one runner at most."""
    ours = str(deployed.data_dir / "work")
    for process in psutil.process_iter(["cmdline"]):
        if "worker.runner" in (process.info["cmdline"] or []) and process.environ()["LETHE_WORK_DIR"] == ours:
            return process.pid
    raise AssertionError("no runner")


@pytest.fixture(scope="module")
def finished(deployed) -> dict:
    """The first job after its end, with default options."""
    return wait(deployed, submit(deployed), ended)


@pytest.fixture(scope="module")
def report(deployed, finished) -> dict:
    assert finished["status"] == "succeeded", f"{finished}\n{logs(deployed)[-4000:]}"
    with http(deployed) as client:
        return client.get(f"/v1/jobs/{finished['id']}/report").json()


@pytest.fixture(scope="module")
def package(deployed, finished, tmp_path_factory) -> Path:
    with http(deployed) as client:
        content = client.get(f"/v1/jobs/{finished['id']}/adapter").content
    path = tmp_path_factory.mktemp("package") / "adapter.zip"
    path.write_bytes(content)
    return path


def test_people_are_forgotten_and_others_kept(report):
    forget, retain = report["forget"]["metrics"], report["retain"]["metrics"]
    assert forget["extraction_strength"]["before"] > 0.7
    assert forget["extraction_strength"]["after"] <= 0.1
    assert report["retain_rows_unseen"]
    assert retain["memorization_accuracy"]["after"] >= 0.95 * retain["memorization_accuracy"]["before"]
    assert report["verdict"] == "forgotten", report["verdict_reasons"]


def test_report_says_what_was_applied(report, finished):
    assert report["job_id"] == finished["id"]
    assert report["thresholds"]["policy"] == current("standard").name
    assert report["method"]["name"] == "loku"
    assert {"torch", "peft", "transformers", "python"} <= set(report["versions"])
    assert {"fisher", "train", "evaluate", "package"} <= set(report["timings_seconds"])
    assert len(report["forget"]["items"]) == report["forget"]["num_items"]


def test_report_page_is_served_to_browsers(deployed, finished):
    with http(deployed) as client:
        page = client.get(f"/v1/jobs/{finished['id']}/report", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "extraction strength" in page.text.lower()


def test_adapter_loads_in_plain_peft_and_switches_off_exactly(deployed, package, tmp_path):
    zipfile.ZipFile(package).extractall(tmp_path)
    rows = torch.arange(40).reshape(2, 20)
    base = AutoModelForCausalLM.from_pretrained(deployed.base_path).eval()
    with torch.no_grad():
        before = base(input_ids=rows).logits
        model = PeftModel.from_pretrained(base, tmp_path).eval()
        assert not torch.equal(model(input_ids=rows).logits, before)
        with model.disable_adapter():
            assert torch.equal(model(input_ids=rows).logits, before)


def test_package_passes_its_own_check(deployed, package, finished):
    checked = check_package(package, deployed.base_path)
    assert checked.job_id == finished["id"]
    assert checked.difference_with_adapter < 1e-3


def test_manifest_reproduces_the_request_without_its_texts(package, deployed):
    manifest = json.loads(zipfile.ZipFile(package).read("manifest.json"))
    assert manifest["spec"]["method"]["seed"] == 42
    assert manifest["base_model"]["weights_sha256"] == deployed.model.weights_sha256
    assert len(manifest["forget_commitment"]) == 64


def test_every_item_has_a_disposition(deployed, finished):
    with http(deployed) as client:
        listed = client.get("/v1/deletion-requests").json()["data"]
        request = next(row for row in listed if row["job_id"] == finished["id"])
        items = client.get(f"/v1/deletion-requests/{request['id']}").json()["items"]
    assert {item["disposition"] for item in items} <= {"forgotten", "not_forgotten"}
    assert len(items) == len(forget_body(deployed)["forget"])


def test_second_job_reads_the_retain_fisher_from_the_cache(deployed, report):
    job = wait(
        deployed, submit(deployed, method={"name": "loku", "max_steps": 2}, forget=with_sentinel(deployed)), ended
    )
    with http(deployed) as client:
        second = client.get(f"/v1/jobs/{job['id']}/report").json()
    assert not report["fisher"]["retain_from_cache"]
    assert second["fisher"]["retain_from_cache"]


def test_next_job_is_served_by_the_same_process(deployed, finished):
    runners = []
    for seed in (1, 2):
        job_id = submit(deployed, method={"name": "loku", "max_steps": 2, "seed": seed})
        assert wait(deployed, job_id, ended)["status"] == "succeeded"
        runners.append(runner_of(deployed))
    assert runners[0] == runners[1]


def test_killed_runner_resumes_from_its_checkpoint_and_succeeds_once(deployed, finished):
    options = {"name": "loku", "early_stopping": False, "max_steps": 80}
    job_id = submit(deployed, method=options, forget=with_sentinel(deployed))
    wait(deployed, job_id, lambda job: job["stage"] == "train" and job["progress"]["step"] >= 12)
    os.kill(runner_of(deployed), signal.SIGKILL)
    job = wait(deployed, job_id, ended)
    with http(deployed) as client:
        report = client.get(f"/v1/jobs/{job_id}/report").json()
        events = client.get(f"/v1/jobs/{job_id}/events", params={"limit": 100}).json()["data"]
    assert (job["status"], job["attempts"]) == ("succeeded", 2)
    assert report["training"]["resumed_from_step"] >= 10
    assert report["training"]["steps"] == 80
    assert [event["type"] for event in events].count("job.succeeded") == 1


def test_cancelled_job_leaves_no_process(deployed, finished):
    job_id = submit(deployed, method={"name": "loku", "early_stopping": False, "max_steps": 5000})
    wait(deployed, job_id, lambda job: job["stage"] == "train")
    runner = psutil.Process(runner_of(deployed))
    with http(deployed) as client:
        assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    started = time.monotonic()
    job = wait(deployed, job_id, ended)
    assert job["status"] == "cancelled"
    assert time.monotonic() - started < 15
    assert not runner.is_running()
    with http(deployed) as client:
        assert client.get(f"/v1/jobs/{job_id}/adapter").status_code == 409


def tables_with(text: str, database: Path) -> set[str]:
    """The tables that have the text in any row."""
    with closing(sqlite3.connect(database)) as connection:
        connection.text_factory = bytes  # whatever a column holds is searched
        names = [name.decode() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
    return {name for name, found in rows.items() if text in repr(found)}


def test_forget_text_is_in_the_item_store_and_nowhere_else(deployed):
    """Runs last: logs, broker and store have seen every job above. Packages are not compressed, so they can be read."""
    job = wait(
        deployed, submit(deployed, method={"name": "loku", "max_steps": 2}, forget=with_sentinel(deployed)), ended
    )
    assert job["status"] == "succeeded"
    for file in deployed.data_dir.rglob("*"):
        if file.is_file() and not file.name.startswith("lethe.db"):
            assert SENTINEL.encode() not in file.read_bytes(), file
    broker = Redis(unix_socket_path=str(deployed.stack.deployment.socket))
    for key in broker.scan_iter("*"):
        assert SENTINEL.encode() not in key + (broker.dump(key) or b"")
    with http(deployed) as client:
        metrics = client.get("/metrics").text
    assert SENTINEL not in metrics
    assert any(deployed.data_dir.glob("artifacts/packages/*/*"))
    assert tables_with(SENTINEL, deployed.data_dir / "lethe.db") == {"item_sets"}
