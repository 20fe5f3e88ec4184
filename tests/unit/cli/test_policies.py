import json

from typer.testing import CliRunner

from cli.errors import CommandError
from cli.main import commands
from core.domain.policy import POLICIES, current


def test_policies_are_listed_with_the_version_that_a_request_gets():
    printed = CliRunner().invoke(commands, ["policies"], env={"COLUMNS": "400"})

    rows = {line.split()[1]: line for line in printed.stdout.splitlines() if len(line.split()) > 1}
    assert set(POLICIES) <= set(rows)
    assert "current" in rows[current("standard").name]
    assert "current" not in rows["standard-1"]
    assert "needed" in rows[current("strict").name]
    assert "sampling" in rows[current("strict").name]


def test_a_policy_is_shown_as_json():
    printed = CliRunner().invoke(commands, ["policies", "strict-1"])

    assert json.loads(printed.stdout) == POLICIES["strict-1"].model_dump(mode="json")


def test_the_short_name_of_a_policy_is_its_current_version():
    printed = CliRunner().invoke(commands, ["policies", "standard"])

    assert json.loads(printed.stdout)["name"] == current("standard").name


def test_unknown_policy_is_refused_with_those_there_are():
    refused = CliRunner().invoke(commands, ["policies", "magic"])

    assert isinstance(refused.exception, CommandError)
    assert "standard-1" in str(refused.exception)
