from pydantic import BaseModel, ConfigDict, Field

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Workload(BaseModel):
    """What a job has to get through, as far as that is known before it runs: numbers, and nothing of the texts.

    Tokens are counted as forward passes; one that passes forward and backward counts three. They predict time and are
    no bill: those of the training are of its whole schedule, which it may end early.
    """

    model_config = _FROZEN
    method: str
    policy: str  # with its version
    steps: int | None  # of the schedule, which may end early; None: the method has none
    forget_tokens: int = Field(ge=1)  # of all items to forget
    tokens: dict[str, int]  # that pass in each stage; a stage that reads none is not there
    shares_statistics: bool  # whether an earlier job may have left what the stage ``fisher`` makes
    num_parameters: int = Field(ge=1)  # of the base model
    adapter_entries: int = Field(ge=0)  # that are trained
    batch_tokens: int = Field(ge=0)  # of the widest batch that passes forward and backward
    values_per_token: int = Field(ge=0)  # that such a batch keeps for the way back
