import hashlib
import json
import shutil
import zipfile

import pytest
import torch
from safetensors.torch import load, save

from core.domain.errors import PackageMismatchError
from core.modeling.adapter import LowRankPair, attach, target_linears, weight_of
from core.modeling.base_model import weights_digest
from core.packaging.build import write_manifest, zip_package
from core.packaging.check_package import check_package
from core.packaging.golden import golden_logits
from core.packaging.portable import to_portable, write_peft
from core.packaging.verify import Probe, logits_of, probe_rows
from tests.fakes.tiny_models import tiny_model


@pytest.fixture(scope="module")
def as_delivered(tmp_path_factory):
    """The directory of a package as a client downloads it, beside its base model."""
    made = tmp_path_factory.mktemp("delivered")
    model = tiny_model("qwen2")
    model.save_pretrained(made / "base")
    rows = probe_rows(model, seed=3)
    base_logits = logits_of(model, rows)
    generator = torch.Generator().manual_seed(0)
    pairs = {}
    for name, layer in target_linears(model, ["q_proj", "up_proj"]).items():
        height, width = weight_of(layer).shape
        nothing = LowRankPair(a=torch.zeros(4, width), b=torch.zeros(height, 4))
        learned = LowRankPair(
            a=torch.randn(4, width, generator=generator) * 0.1, b=torch.randn(height, 4, generator=generator) * 0.1
        )
        pairs[name] = (learned, nothing)
    adapter = attach(model, pairs, scaling=2.0)
    probe = Probe(rows, trained_logits=logits_of(model, rows), base_logits=base_logits)
    directory = made / "adapter"
    directory.mkdir()
    write_peft(to_portable(adapter), directory, base_model="org/base", revision=None)
    write_manifest(
        directory,
        {
            "job_id": "job_1",
            "verdict": "forgotten",
            "base_model": {"weights_sha256": weights_digest(made / "base")},
            "verification": {"golden": golden_logits(probe).model_dump()},
        },
    )
    zip_package(directory, made / "adapter.zip")
    return made


@pytest.fixture
def delivered(as_delivered, tmp_path):
    """A copy of the package and its base model, for a test to spoil."""
    shutil.copytree(as_delivered, tmp_path, dirs_exist_ok=True)
    return tmp_path / "adapter.zip", tmp_path / "base"


def rewritten(package, edit):
    """The same zip with files changed or added."""
    with zipfile.ZipFile(package) as archive:
        files = edit({name: archive.read(name) for name in archive.namelist()})
    with zipfile.ZipFile(package, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return package


def test_delivered_package_passes(delivered):
    checked = check_package(*delivered)
    assert (checked.job_id, checked.verdict, checked.files) == ("job_1", "forgotten", 3)
    assert checked.difference_with_adapter < 1e-4
    assert checked.difference_without_adapter == 0


def test_changed_file_is_refused(delivered):
    package = rewritten(
        delivered[0], lambda files: files | {"adapter_config.json": files["adapter_config.json"] + b" "}
    )
    with pytest.raises(PackageMismatchError, match="adapter_config"):
        check_package(package, delivered[1])


def test_additional_file_is_refused(delivered):
    package = rewritten(delivered[0], lambda files: files | {"../evil.py": b"x"})
    with pytest.raises(PackageMismatchError, match="other files"):
        check_package(package, delivered[1])


def test_other_base_model_is_refused(delivered, tmp_path):
    tiny_model("qwen2", seed=1).save_pretrained(tmp_path / "base")
    with pytest.raises(PackageMismatchError, match="base model"):
        check_package(*delivered)


def test_other_golden_logits_are_refused(delivered):
    def edit(files):
        manifest = json.loads(files["manifest.json"])
        manifest["verification"]["golden"]["trained"][0][0] += 1.0
        return files | {"manifest.json": json.dumps(manifest).encode()}

    with pytest.raises(PackageMismatchError, match="with the adapter"):
        check_package(rewritten(delivered[0], edit), delivered[1])


def with_manifest(package, edit):
    def edited(files):
        manifest = json.loads(files["manifest.json"])
        edit(manifest)
        return files | {"manifest.json": json.dumps(manifest).encode()}

    return rewritten(package, edited)


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (lambda manifest: manifest.pop("files"), "files"),
        (lambda manifest: manifest.pop("verdict"), "verdict"),
        (lambda manifest: manifest.pop("base_model"), "base_model"),
        (lambda manifest: manifest["verification"].pop("golden"), "verification.golden"),
        (lambda manifest: manifest["verification"]["golden"].update(dtype="int4"), "verification.golden.dtype"),
        (lambda manifest: manifest["verification"]["golden"].update(largest=0.0), "verification.golden.largest"),
        (lambda manifest: manifest["verification"]["golden"].update(trained=[[1.0]]), "verification.golden"),
        (lambda manifest: manifest["verification"]["golden"]["base"].pop(), "verification.golden"),
        (lambda manifest: manifest["verification"]["golden"]["tokens"][0].pop(), "verification.golden"),
    ],
)
def test_malformed_manifest_is_refused_with_the_place(edit, place, delivered):
    with pytest.raises(PackageMismatchError, match=f"malformed at: {place}"):
        check_package(with_manifest(delivered[0], edit), delivered[1])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_manifest_that_is_no_object_is_refused(content, delivered):
    package = rewritten(delivered[0], lambda files: files | {"manifest.json": content})
    with pytest.raises(PackageMismatchError, match="malformed at: the whole"):
        check_package(package, delivered[1])


def test_tokens_that_the_base_model_lacks_are_refused(delivered):
    def edit(manifest):
        manifest["verification"]["golden"]["input_ids"][0][0] = 10_000

    with pytest.raises(PackageMismatchError, match="does not have"):
        check_package(with_manifest(delivered[0], edit), delivered[1])


def test_adapter_without_effect_is_refused(delivered):
    def edit(files):
        nothing = {name: torch.zeros_like(value) for name, value in load(files["adapter_model.safetensors"]).items()}
        weights = save(nothing, metadata={"format": "pt"})
        manifest = json.loads(files["manifest.json"])
        manifest["files"]["adapter_model.safetensors"] = hashlib.sha256(weights).hexdigest()
        # So small a change that the tolerance alone would let its absence pass.
        golden = manifest["verification"]["golden"]
        golden["trained"] = [[value + 1e-4 for value in row] for row in golden["base"]]
        return files | {"adapter_model.safetensors": weights, "manifest.json": json.dumps(manifest).encode()}

    with pytest.raises(PackageMismatchError, match="no effect"):
        check_package(rewritten(delivered[0], edit), delivered[1])


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_file_that_is_no_package_is_refused(content, delivered, tmp_path):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(PackageMismatchError, match="no package"):
        check_package(tmp_path / "x.zip", delivered[1])
