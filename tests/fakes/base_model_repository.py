from core.domain.base_model import RegisteredBaseModel
from core.domain.errors import AlreadyExistsError, NotFoundError
from core.ports import Page


class FakeBaseModelRepository:
    """Base models in a dict."""

    def __init__(self) -> None:
        self.models: dict[str, RegisteredBaseModel] = {}

    def add(self, model: RegisteredBaseModel) -> None:
        if self.models.setdefault(model.id, model) is not model:
            raise AlreadyExistsError(f"base model {model.id} exists")

    def get(self, model_id: str) -> RegisteredBaseModel:
        try:
            return self.models[model_id]
        except KeyError as missing:
            raise NotFoundError(f"no base model {model_id}") from missing

    def list(self, *, after: str | None = None, limit: int = 100) -> Page[RegisteredBaseModel]:
        following = [self.models[model_id] for model_id in sorted(self.models) if after is None or model_id > after]
        return Page(data=tuple(following[:limit]), has_more=len(following) > limit)
