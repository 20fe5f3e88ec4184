import hashlib
import json
import zipfile

from core.packaging.build import write_manifest, zip_package


def filled(directory):
    directory.mkdir()
    (directory / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 9)
    (directory / "README.md").write_text("# card\n")
    return directory


def test_manifest_holds_the_digest_of_every_other_file(tmp_path):
    directory = filled(tmp_path / "a")
    write_manifest(directory, {"job_id": "job_1"})
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["job_id"] == "job_1"
    assert manifest["files"] == {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest()
        for name in ("README.md", "adapter_model.safetensors")
    }


def test_equal_content_gives_equal_zips(tmp_path):
    digests = set()
    for name in ("a", "b"):
        zip_package(filled(tmp_path / name), tmp_path / f"{name}.zip")
        digests.add(hashlib.sha256((tmp_path / f"{name}.zip").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_zip_is_readable_and_complete(tmp_path):
    zip_package(filled(tmp_path / "a"), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["README.md", "adapter_model.safetensors"]
        assert archive.read("README.md") == b"# card\n"
