import io

import httpx
from rich.console import Console

from cli.client import ApiClient
from cli.watch import watch

JOB = {
    "id": "job_1",
    "status": "succeeded",
    "stage": "package",
    "is_terminal": True,
    "progress": {"step": 0, "total_steps": 0, "percent": 0.0, "eta_seconds": None},
    "attempts": 1,
    "error": None,
}
EVENTS = [
    {"type": "job.started", "level": "info", "message": "attempt 1 of 3", "data": {}},
    {"type": "job.metrics", "level": "info", "message": "training", "data": {"forget_loss": 0.123456}},
    {"type": "job.succeeded", "level": "info", "message": "adapter and report are ready", "data": {}},
]


def test_every_event_is_printed_once_also_over_several_pages():
    def handler(request):
        if request.url.path.endswith("/events"):
            after = int(request.url.params["after_seq"])
            page = [
                {**event, "seq": seq, "created_at": "2026-01-02T03:04:05Z"}
                for seq, event in enumerate(EVENTS, start=1)
                if seq > after
            ][:2]
            return httpx.Response(200, json={"data": page})
        return httpx.Response(200, json=JOB)

    printed = io.StringIO()
    client = ApiClient(httpx.Client(base_url="http://lethe", transport=httpx.MockTransport(handler)))

    job = watch(client, "job_1", Console(file=printed, width=100))

    lines = [line for line in printed.getvalue().splitlines() if line.strip()]
    assert job.status == "succeeded"
    assert [line.split()[1] for line in lines] == ["started", "metrics", "succeeded"]
    assert "forget_loss=0.1235" in lines[1]
