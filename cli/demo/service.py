import hashlib
import socket
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.client import ApiClient
from cli.composition import open_backends, utc_now
from cli.demo.people import Person, Population, items
from cli.errors import CommandError
from cli.items import without_absent
from cli.registration import Registration, register
from core.domain.api_key import mint
from core.domain.base_model import RegisteredBaseModel
from core.domain.errors import NotFoundError
from core.domain.items import PairItem, TextItem
from core.domain.report import EvaluationReport

_TENANT = "demo"


@dataclass(frozen=True)
class Delivery:
    """What a job delivered, on this machine."""

    adapter: Path  # a PEFT directory
    report_html: Path
    report: EvaluationReport


def items_of(people: Sequence[Person]) -> list[TextItem | PairItem]:
    """Return everything that is written about these people."""
    return [item for person in people for item in items(person)]


def register_once(base_model: Path, population: Population, data_dir: Path) -> RegisteredBaseModel:
    """Return the base model as registered in the deployment, registering it with its sets if this is the first time.

    The digest of the weights is in the id, for a registered base model is never changed.
    """
    with (base_model / "model.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    model_id = f"{base_model.name}-{digest[:8]}"
    backends = open_backends(data_dir)
    try:
        return backends.base_models.get(model_id)
    except NotFoundError:
        registration = Registration(
            model_id=model_id,
            source=str(base_model),
            revision=None,
            retain=items_of(population.retain),
            holdout=items_of(population.holdout),
        )
        return register(registration, backends, now=utc_now())


def make_key(data_dir: Path) -> str:
    """Return a new API key of the demo's tenant."""
    backends = open_backends(data_dir)
    key, token = mint(_TENANT, backends.secret_key, utc_now())
    backends.api_keys.add(key)
    return token


def deletion_request(base_model: RegisteredBaseModel, people: Sequence[Person]) -> dict[str, object]:
    """Return the body that asks to forget everything about these people."""
    return {
        "base_model": base_model.id,
        "forget": without_absent(items_of(people)),
        "external_id": f"demo: {len(people)} people",
    }


def download(client: ApiClient, job_id: str, into: Path) -> Delivery:
    """Return adapter and report of a job that succeeded, fetched over HTTP and unpacked.

    Raises:
        CommandError: the API refused.
    """
    into.mkdir(parents=True, exist_ok=True)
    archive = into / "adapter.zip"
    archive.write_bytes(_get(client, f"/v1/jobs/{job_id}/adapter", accept="application/zip"))
    with zipfile.ZipFile(archive) as package:
        package.extractall(into / "adapter")
    page = into / "report.html"
    page.write_bytes(_get(client, f"/v1/jobs/{job_id}/report", accept="text/html"))
    report = _get(client, f"/v1/jobs/{job_id}/report", accept="application/json")
    (into / "report.json").write_bytes(report)
    return Delivery(into / "adapter", page, EvaluationReport.model_validate_json(report))


def free_port() -> int:
    """Return a port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _get(client: ApiClient, path: str, *, accept: str) -> bytes:
    response = client.http.get(path, headers={"Accept": accept})
    if not response.is_success:
        raise CommandError(f"HTTP {response.status_code} from {response.url}")
    return response.content
