from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from core.domain.sizes import ModelSizes

BaseModelId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]


class TextFormat(BaseModel):
    """How a prompt and its completion become one text for this base model.

    Asking a model for a memory in another format than the one it was trained on measures the format, not
    the memory. So the format is measured once, at registration, as the one under which the model finds its own
    retain pairs most likely, and is fixed from then on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    join: Literal["separator", "chat_template"] = "separator"
    separator: str = ""
    ends_with_eos: bool = True
    measured: bool = False
    template_tokens: int = 0  # the most that the chat template was seen to write around a prompt and its completion

    @property
    def in_words(self) -> str:
        """Say how items are read, for whoever registers the model."""
        join = "chat template" if self.join == "chat_template" else f"{self.separator!r} between prompt and completion"
        end = "end of sequence behind" if self.ends_with_eos else "nothing behind"
        why = "measured on the retain set" if self.measured else "assumed: register retain pairs to have it measured"
        return f"{join}, {end} ({why})"


class ReferenceModel(BaseModel):
    """A model that was trained as the base model was, but without what requests ask to be forgotten.

    Nobody but the operator can know what it was trained on: a request whose texts it has seen is compared with the
    wrong thing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str  # as of a base model
    revision: str | None
    weights_sha256: str


class RegisteredBaseModel(BaseModel):
    """A base model that requests may name, with everything the light half must know about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: BaseModelId
    source: str  # a local path or a hub id
    revision: str | None  # the commit of a hub id; None for a local path, whose digest stands for it
    weights_sha256: str  # over the safetensors files, names included
    architecture: str
    num_parameters: int = Field(ge=1)
    num_layers: int | None = Field(default=None, ge=1)  # of the decoder; None: not known
    linear_names: tuple[str, ...] = ()  # that an adapter may target; * is each decoder layer's number; empty: not known
    max_tokens: int = Field(ge=2)  # context length
    text_format: TextFormat
    tokenizer_key: str  # tokenizer.json in the artifact store, so the API can count tokens without torch
    retain_set_id: str | None
    holdout_set_id: str | None
    general_set_id: str | None = None  # texts about nothing in particular, for methods that keep on a general corpus
    num_retain_items: int = Field(ge=0)
    num_holdout_items: int = Field(ge=0)
    num_general_items: int = Field(default=0, ge=0)
    reference: ReferenceModel | None = None
    sizes: ModelSizes | None = None  # None: it was registered before anybody asked
    created_at: AwareDatetime

    @property
    def module_names(self) -> frozenset[str]:
        """Everything that ``target_modules`` may name: each linear layer's full name and its last components."""
        layers = range(self.num_layers or 1)  # a name with a * comes with the number of layers
        full = {name.replace("*", str(layer)) for name in self.linear_names for layer in layers}
        components = [name.split(".") for name in full]
        return frozenset(".".join(parts[start:]) for parts in components for start in range(len(parts)))

    @property
    def public_name(self) -> str:
        """What a client may be told to load: the hub id, or for a directory of the server its registered id."""
        return self.source if self.revision is not None else self.id
