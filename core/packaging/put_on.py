import zipfile
from io import BytesIO
from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel

from core.modeling.base_model import BaseModel

_PARTS = ("adapter_config.json", "adapter_model.safetensors")


def put_on(package: bytes, base: BaseModel, directory: Path) -> PreTrainedModel:
    """Return the base model with the adapter of a package on it, by plain PEFT, as whoever serves it would.

    The layers of ``base`` itself are replaced: whatever is to be measured without the adapter comes first.

    Args:
        package: the zip that a job delivered; verified before its delivery, so nothing is checked again.
        base: the base model that it was made for.
        directory: where to unpack it; it is made.
    """
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    with zipfile.ZipFile(BytesIO(package)) as archive:
        for name in _PARTS:
            (directory / name).write_bytes(archive.read(name))
    model: PreTrainedModel = PeftModel.from_pretrained(base.model, directory).eval().get_base_model()
    return model
