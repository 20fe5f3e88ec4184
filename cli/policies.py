from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.table import Table

from cli.errors import CommandError
from core.domain.policy import DEFAULT_POLICY, POLICIES, PlannedAttack, Policy, PolicyName, current

_CURRENT: dict[str, Policy] = {name: current(name) for name in get_args(PolicyName)}


def policies(
    name: Annotated[str | None, typer.Argument(help="One of them, standard or standard-1, as JSON.")] = None,
) -> None:
    """Show the policies: what is measured, and what it must show."""
    console = Console()
    if name is not None:
        console.print_json(data=_named(name).model_dump(mode="json"))
        return
    table = Table("policy", "", "holdout set", "limits, of the mean and of one item", "attacks", "what it is")
    for policy in POLICIES.values():
        table.add_row(
            policy.name,
            _standing(policy),
            "needed" if policy.needs_holdout else "",
            "\n".join(f"{gate.metric} {gate.at_most:g}, {gate.item_at_most:g}" for gate in policy.forget),
            "\n".join(_attack(attack) for attack in policy.attacks),
            " ".join(policy.summary.split()),
        )
    console.print(table)


def _named(name: str) -> Policy:
    policy = POLICIES.get(name) or _CURRENT.get(name)
    if policy is None:
        raise CommandError(f"no such policy; known: {', '.join([*_CURRENT, *POLICIES])}")
    return policy


def _standing(policy: Policy) -> str:
    if policy == _CURRENT[DEFAULT_POLICY]:
        return "current, default"
    return "current" if policy in _CURRENT.values() else ""


def _attack(attack: PlannedAttack) -> str:
    limits = ", ".join(f"{metric} {at_most:g}" for metric, at_most in attack.at_most.items())
    return f"{attack.label}: {limits or 'shown only'}"
