import json
from dataclasses import dataclass
from typing import Self

import torch
from safetensors.torch import load, save
from torch import Tensor

from core.domain.report import TrajectoryPoint
from core.modeling.adapter import Adapter

_MOMENTS = ("exp_avg", "exp_avg_sq")
_FORMAT = 2  # raised whenever an older checkpoint would be read wrongly


@dataclass(frozen=True)
class Passing:
    """The trained pairs of an adapter that a stop check found to have forgotten."""

    step: int
    margin: float
    tensors: dict[str, Tensor]

    @classmethod
    def capture(cls, adapter: Adapter, *, margin: float, step: int) -> Self:
        """Return a copy of the trained pairs, on the CPU. Anchors never change, so they are left out."""
        pairs = {name: value for name, value in adapter.tensors().items() if ".anchor_" not in name}
        return cls(step=step, margin=margin, tensors={name: value.cpu().clone() for name, value in pairs.items()})


@dataclass(frozen=True)
class TrainingState:
    """Everything that the next step of a run depends on.

    Data order and learning rate are functions of the step, so the adapter with its anchors, the optimizer's
    moments and the step number suffice; a resumed run ends in the same bytes as an uninterrupted one on a CPU.
    """

    step: int
    forgotten: bool  # what the last stop check said
    remaining: tuple[int, ...] | None  # and which forget rows it found over the limits
    best: Passing | None
    adapter: dict[str, Tensor]
    moments: dict[str, Tensor]
    trajectory: list[TrajectoryPoint]
    notes: str = ""  # the caller's own, kept with the state

    @classmethod
    def capture(
        cls,
        adapter: Adapter,
        optimizer: torch.optim.Optimizer,
        trajectory: list[TrajectoryPoint],
        *,
        step: int,
        forgotten: bool,
        remaining: tuple[int, ...] | None,
        best: Passing | None,
    ) -> Self:
        """Return a copy of the present state, on the CPU."""
        moments = {
            f"{place}.{moment}": optimizer.state[parameter][moment].detach().cpu().clone()
            for place, parameter in enumerate(adapter.parameters())
            for moment in _MOMENTS
        }
        tensors = {name: value.cpu().clone() for name, value in adapter.tensors().items()}
        return cls(
            step=step,
            forgotten=forgotten,
            remaining=remaining,
            best=best,
            adapter=tensors,
            moments=moments,
            trajectory=list(trajectory),
        )

    def restore(self, adapter: Adapter, optimizer: torch.optim.Optimizer) -> None:
        """Put the state back into an adapter and a fresh optimizer."""
        adapter.load(self.adapter)
        for place, parameter in enumerate(adapter.parameters()):
            optimizer.state[parameter] = {
                "step": torch.tensor(float(self.step)),
                **{moment: self.moments[f"{place}.{moment}"].to(parameter.device) for moment in _MOMENTS},
            }

    def dump(self) -> bytes:
        """Return the state as one safetensors payload: a format that can hold no code."""
        tensors = {f"adapter/{name}": value.contiguous() for name, value in self.adapter.items()}
        tensors |= {f"moments/{name}": value.contiguous() for name, value in self.moments.items()}
        best = self.best
        tensors |= {f"best/{name}": value.contiguous() for name, value in (best.tensors if best else {}).items()}
        rest = {
            "format": _FORMAT,
            "forgotten": self.forgotten,
            "remaining": self.remaining,
            "best": {"step": best.step, "margin": best.margin} if best else None,
            "trajectory": [point.model_dump() for point in self.trajectory],
            "notes": self.notes,
        }
        tensors["rest"] = torch.frombuffer(bytearray(json.dumps(rest).encode()), dtype=torch.uint8)
        tensors["step"] = torch.tensor(self.step)
        return save(tensors)

    @classmethod
    def parse(cls, payload: bytes) -> Self | None:
        """Return what :meth:`dump` wrote, or None if another version of it did: then a run starts afresh."""
        tensors = load(payload)
        rest = json.loads(bytes(tensors["rest"].tolist()))
        if rest.get("format") != _FORMAT:
            return None
        best = rest["best"]
        return cls(
            step=int(tensors["step"]),
            forgotten=bool(rest["forgotten"]),
            remaining=None if rest["remaining"] is None else tuple(rest["remaining"]),
            best=Passing(best["step"], best["margin"], _under("best/", tensors)) if best else None,
            adapter=_under("adapter/", tensors),
            moments=_under("moments/", tensors),
            trajectory=[TrajectoryPoint.model_validate(point) for point in rest["trajectory"]],
            notes=rest["notes"],
        )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
