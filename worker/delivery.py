import hashlib
from dataclasses import dataclass
from pathlib import Path

from core.domain.job import Package, StoredFile
from core.domain.request import ItemDisposition
from core.ports import ArtifactStore


@dataclass(frozen=True)
class Outcome:
    """What a run leaves on this machine: the files of its package, and what became of each item."""

    adapter_zip: Path | None
    report_json: bytes
    report_html: bytes
    dispositions: tuple[ItemDisposition, ...]


@dataclass(frozen=True)
class Answer:
    """What a probe leaves."""

    result_json: bytes


def deliver(outcome: Outcome, store: ArtifactStore) -> Package:
    """Return the package as stored. Keys are digests, so storing it again after a crash changes nothing."""
    return Package(
        adapter=None if outcome.adapter_zip is None else _put(store, "adapter.zip", outcome.adapter_zip.read_bytes()),
        report_json=_put(store, "report.json", outcome.report_json),
        report_html=_put(store, "report.html", outcome.report_html),
    )


def deliver_answer(answer: Answer, store: ArtifactStore) -> StoredFile:
    """Return the result of a probe as stored, under its digest too."""
    return _put(store, "result.json", answer.result_json, folder="probes")


def _put(store: ArtifactStore, name: str, payload: bytes, *, folder: str = "packages") -> StoredFile:
    sha256 = hashlib.sha256(payload).hexdigest()
    key = f"{folder}/{sha256}/{name}"
    store.put(key, payload)
    return StoredFile(key=key, sha256=sha256, size=len(payload))
