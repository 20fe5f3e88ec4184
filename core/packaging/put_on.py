import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel

from core.modeling.base_model import BaseModel

_PARTS = ("adapter_config.json", "adapter_model.safetensors")


@contextmanager
def put_on(package: bytes, base: BaseModel, directory: Path) -> Iterator[PreTrainedModel]:
    """Within, the base model has the adapter of a package on it, by plain PEFT, as whoever serves it would.

    It is the layers of ``base`` itself that are replaced, and put back at the end.

    Args:
        package: the zip that a job delivered; verified before its delivery, so nothing is checked again.
        base: the base model that it was made for.
        directory: where to unpack it; it is made.
    """
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    with zipfile.ZipFile(BytesIO(package)) as archive:
        for name in _PARTS:
            (directory / name).write_bytes(archive.read(name))
    adapted = PeftModel.from_pretrained(base.model, directory).eval()
    try:
        yield adapted.get_base_model()
    finally:
        adapted.unload()
