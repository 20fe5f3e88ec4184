import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from api.settings import ApiSettings
from cli.settings import ClientSettings, DeploymentSettings
from worker.settings import WorkerSettings

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "operations.md").read_text()
ROW = re.compile(r"^\| `LETHE_(?P<field>\w+)` \| (?P<readers>[\w, ]+) \| (?P<default>.*?) \|", re.MULTILINE)
READERS = {"api": ApiSettings, "worker": WorkerSettings, "cli": DeploymentSettings, "client": ClientSettings}
DESCRIBED = {
    "work_dir": "lethe-work in the temporary directory",
    "runner_command": "this Python with `-m worker.runner`",
}

ROWS = {row["field"].lower(): row for row in ROW.finditer(GUIDE)}


def fields():
    return {field for settings in READERS.values() for field in settings.model_fields}


def default_in_words(field, default):
    if field in DESCRIBED:
        return DESCRIBED[field]
    if default is PydanticUndefined:
        return "required"
    assert not isinstance(default, SecretStr)
    return "none" if default is None else str(default)


def test_the_table_names_every_setting_and_no_other():
    assert ROWS.keys() == fields()


@pytest.mark.parametrize("field", sorted(fields()))
def test_a_row_says_who_reads_the_setting(field):
    readers = [name for name, settings in READERS.items() if field in settings.model_fields]
    assert ROWS[field]["readers"].split(", ") == readers


@pytest.mark.parametrize("field", sorted(fields()))
def test_a_row_says_the_default(field):
    defaults = {
        default_in_words(field, settings.model_fields[field].default)
        for settings in READERS.values()
        if field in settings.model_fields
    }
    assert {ROWS[field]["default"]} == defaults
