import hashlib
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from pydantic import BaseModel, ConfigDict, ValidationError
from transformers import AutoModelForCausalLM

from core.domain.errors import PackageMismatchError
from core.modeling.base_model import weights_digest
from core.packaging.golden import DtypeName, GoldenLogits, golden_difference
from core.packaging.verify import logits_of

# Relative to the largest logit: another machine, another library version, another order of sums; and for a model that
# ran in bfloat16, whose golden logits have eight bits, the rounding of every layer.
TOLERANCE: dict[DtypeName, float] = {"float32": 1e-2, "bfloat16": 1e-1}


class _ManifestPart(BaseModel):
    """A part of the manifest of which only what is checked is read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _BaseModelPart(_ManifestPart):
    weights_sha256: str


class _VerificationPart(_ManifestPart):
    golden: GoldenLogits


class _Manifest(_ManifestPart):
    job_id: str
    verdict: str
    base_model: _BaseModelPart
    verification: _VerificationPart
    files: dict[str, str]  # name -> SHA-256


@dataclass(frozen=True)
class CheckedPackage:
    """What holds for a package, each figure relative to the largest logit."""

    job_id: str
    verdict: str
    files: int
    difference_with_adapter: float
    difference_without_adapter: float


def check_package(package: Path, base_path: Path) -> CheckedPackage:
    """Check a downloaded package against its own manifest and a base model on disk.

    Files must have the digests of the manifest, the base model must be the one it names, and plain PEFT on that base
    model must give the golden logits with the adapter on, and the base model's with it off; an adapter that was trained
    to change them must change them.

    Raises:
        PackageMismatchError: one of them does not hold; the message says which.
    """
    with tempfile.TemporaryDirectory() as directory:
        unpacked = Path(directory)
        manifest = _unpack(package, unpacked)
        if weights_digest(base_path) != manifest.base_model.weights_sha256:
            raise PackageMismatchError("the base model on disk is not the one that this package was made for")
        golden = manifest.verification.golden
        on, off = _differences(unpacked, base_path, golden)
    if not max(on, off) <= TOLERANCE[golden.dtype]:
        raise PackageMismatchError(f"the logits differ by {on:.1e} with the adapter and by {off:.1e} without it")
    return CheckedPackage(manifest.job_id, manifest.verdict, len(manifest.files) + 1, on, off)


def _unpack(package: Path, directory: Path) -> _Manifest:
    """Unpack what the manifest names and nothing else, refusing what does not have its digest."""
    try:
        with zipfile.ZipFile(package) as archive:
            manifest = _parse(archive.read("manifest.json"))
            if set(archive.namelist()) != {"manifest.json", *manifest.files}:
                raise PackageMismatchError("the package holds other files than its manifest names")
            for name, digest in manifest.files.items():
                content = archive.read(name)
                if hashlib.sha256(content).hexdigest() != digest or "/" in name:
                    raise PackageMismatchError(f"{name} is not the file that the manifest names")
                (directory / name).write_bytes(content)
    except (zipfile.BadZipFile, KeyError) as broken:
        raise PackageMismatchError("the file is no package: no zip with a manifest.json") from broken
    return manifest


def _parse(content: bytes) -> _Manifest:
    try:
        return _Manifest.model_validate_json(content)
    except ValidationError as broken:
        places = ", ".join(".".join(map(str, error["loc"])) or "the whole" for error in broken.errors()[:3])
        raise PackageMismatchError(f"the manifest is malformed at: {places}") from broken


def _differences(package: Path, base_path: Path, golden: GoldenLogits) -> tuple[float, float]:
    base = AutoModelForCausalLM.from_pretrained(
        base_path, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    model = PeftModel.from_pretrained(base.eval(), package).eval()
    rows = torch.tensor(golden.input_ids)
    if max(int(rows.max()), *map(max, golden.tokens)) >= base.config.vocab_size:
        raise PackageMismatchError("the golden logits are of tokens that the base model does not have")
    on = logits_of(model, rows)
    with model.disable_adapter():
        off = logits_of(model, rows)
    if torch.equal(on, off) and golden.trained != golden.base:
        raise PackageMismatchError("the adapter has no effect: with it and without it the logits are the same")
    return golden_difference(golden, on, golden.trained), golden_difference(golden, off, golden.base)
