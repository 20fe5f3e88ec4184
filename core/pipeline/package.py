import shutil
from pathlib import Path

import torch

from core.domain.report import EvaluationReport
from core.modeling.adapter import Adapter
from core.modeling.base_model import BaseModel
from core.modeling.sharding import is_sharded
from core.packaging.build import write_manifest, zip_package
from core.packaging.golden import golden_logits
from core.packaging.model_card import render_card
from core.packaging.portable import to_portable, write_peft
from core.packaging.verify import Probe, verify
from core.pipeline.task import RunTask


def build_package(task: RunTask, base: BaseModel, adapter: Adapter, probe: Probe, report: EvaluationReport) -> Path:
    """Return the zip of the PEFT directory, after verifying the directory on a fresh base model.

    Raises:
        PackageMismatchError: the directory does not reproduce the trained model.
    """
    directory = task.work_dir / "adapter"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    registered = task.base_model
    lora = to_portable(adapter)
    write_peft(lora, directory, base_model=registered.public_name, revision=registered.revision)
    sharded = is_sharded(base.model)
    difference = verify(directory, base.path, probe, device=base.device, dtype=base.model.dtype, sharded=sharded)
    (directory / "README.md").write_text(render_card(report))
    write_manifest(
        directory,
        {
            "job_id": task.job_id,
            "base_model": report.base_model.model_dump(),
            "spec": task.spec.model_dump(),
            "seeds": report.seeds,
            "versions": report.versions,
            "forget_commitment": task.forget.commitment,
            "retain_commitment": task.retain.commitment if task.retain else None,
            "adapter": {
                "rank": lora.rank,
                "scaling": lora.scaling,
                "target_modules": lora.target_modules,
                "dtype": str(torch.float32).removeprefix("torch."),
            },
            "verification": {
                "relative_logit_difference": difference,
                "golden": golden_logits(probe).model_dump(),
            },
            "verdict": report.verdict,
        },
    )
    target = task.work_dir / "adapter.zip"
    zip_package(directory, target)
    return target
