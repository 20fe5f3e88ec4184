import hashlib
import json
import zipfile
from pathlib import Path

# Fixed, so that equal content gives equal bytes and the digest names the content alone.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def file_digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in the directory, by name."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(directory.iterdir())}


def write_manifest(directory: Path, facts: dict[str, object]) -> None:
    """Write ``manifest.json``: the facts given, and the digest of every other file."""
    manifest = {"format": "lethe.manifest/1", **facts, "files": file_digests(directory)}
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def zip_package(directory: Path, target: Path) -> None:
    """Write the directory's files into a zip whose bytes depend on their content alone.

    Stored, not compressed: weights do not shrink, and a client that seeks in the zip finds the file as it is.
    """
    with zipfile.ZipFile(target, "w", compression=zipfile.ZIP_STORED) as archive:
        for file in sorted(directory.iterdir()):
            info = zipfile.ZipInfo(file.name, date_time=_EPOCH)
            info.external_attr = 0o644 << 16
            with file.open("rb") as source, archive.open(info, "w", force_zip64=True) as sink:
                while piece := source.read(1 << 20):
                    sink.write(piece)
