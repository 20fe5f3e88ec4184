import json
import os
import sys

import pytest
from typer.testing import CliRunner

from cli.composition import open_backends
from cli.errors import CommandError
from cli.main import app, commands
from core.domain.api_key import key_id_of, matches
from core.domain.base_model import ReferenceModel
from core.domain.catalog import METHOD_OPTIONS
from tests.fakes.examples import a_base_model


def test_created_key_opens_the_deployment_that_it_was_made_for(tmp_path):
    printed = CliRunner().invoke(commands, ["keys", "create", "--tenant", "acme", "--data-dir", str(tmp_path / "d")])

    token = printed.stdout.strip()
    backends = open_backends(tmp_path / "d")
    key = backends.api_keys.get(key_id_of(token))
    assert key.tenant == "acme"
    assert matches(key, token, backends.secret_key)


def test_key_of_a_tenant_that_is_no_name_is_refused(tmp_path):
    refused = CliRunner().invoke(commands, ["keys", "create", "--tenant", "a b", "--data-dir", str(tmp_path / "d")])

    assert isinstance(refused.exception, CommandError)
    assert "--tenant" in str(refused.exception)


def test_keys_are_listed_without_what_opens_them(tmp_path):
    data_dir = ["--data-dir", str(tmp_path / "d")]
    token = CliRunner().invoke(commands, ["keys", "create", "--tenant", "acme", *data_dir]).stdout.strip()
    key = open_backends(tmp_path / "d").api_keys.get(key_id_of(token))

    printed = CliRunner().invoke(commands, ["keys", "list", *data_dir])

    assert key.id in printed.stdout
    assert "acme" in printed.stdout
    assert token.rpartition("_")[2] not in printed.stdout
    assert key.secret_hmac not in printed.stdout


def test_a_key_is_revoked_by_the_id_that_is_listed(tmp_path):
    data_dir = ["--data-dir", str(tmp_path / "d")]
    tokens = [
        CliRunner().invoke(commands, ["keys", "create", "--tenant", tenant, *data_dir]).stdout.strip()
        for tenant in ("acme", "other")
    ]

    revoked = CliRunner().invoke(commands, ["keys", "revoke", key_id_of(tokens[0]), *data_dir])

    repository = open_backends(tmp_path / "d").api_keys
    assert revoked.exit_code == 0
    assert [repository.get(key_id_of(token)).revoked_at is None for token in tokens] == [False, True]
    printed = CliRunner().invoke(commands, ["keys", "list", *data_dir]).stdout
    years = [line.count(f"{repository.get(key_id_of(tokens[0])).created_at:%Y-}") for line in printed.splitlines()]
    assert sorted(years)[-2:] == [1, 2]  # both have a time of creation, one of them also that of its end


def test_revoking_a_key_that_does_not_exist_is_refused(tmp_path):
    refused = CliRunner().invoke(commands, ["keys", "revoke", "key_1", "--data-dir", str(tmp_path / "d")])

    assert isinstance(refused.exception, CommandError)


def test_registered_models_are_listed(tmp_path):
    open_backends(tmp_path / "d").base_models.add(a_base_model("people/neo"))

    printed = CliRunner().invoke(commands, ["models", "list", "--data-dir", str(tmp_path / "d")])

    assert "people/neo" in printed.stdout


def test_models_are_listed_with_their_layers_and_whether_they_have_a_reference(tmp_path):
    reference = ReferenceModel(source="/models/retrained", revision=None, weights_sha256="cd" * 32)
    repository = open_backends(tmp_path / "d").base_models
    repository.add(a_base_model("alone").model_copy(update={"num_layers": None}))
    repository.add(a_base_model("compared").model_copy(update={"reference": reference, "num_layers": 7}))

    arguments = ["models", "list", "--data-dir", str(tmp_path / "d")]
    printed = CliRunner().invoke(commands, arguments, env={"COLUMNS": "200"})

    rows = {line.split("│")[1].strip(): line.split("│") for line in printed.stdout.splitlines() if line.count("│") > 8}
    assert [cell.strip() for cell in rows["compared"][4:9:4]] == ["7", "yes"]
    assert [cell.strip() for cell in rows["alone"][4:9:4]] == ["?", "no"]


def test_model_without_a_pin_is_refused_before_anything_is_loaded(tmp_path):
    arguments = ["models", "add", "m", "--path", "someone/some-model", "--data-dir", str(tmp_path / "d")]

    refused = CliRunner().invoke(commands, arguments)

    assert "--revision" in str(refused.exception)


def test_methods_are_listed_with_what_sets_them_apart():
    printed = CliRunner().invoke(commands, ["methods"], terminal_width=400, env={"COLUMNS": "400"})

    assert set(METHOD_OPTIONS) <= set(printed.stdout.split())
    assert '"beta": 1.0' in printed.stdout


def test_options_of_a_method_are_shown_as_json_schema():
    printed = CliRunner().invoke(commands, ["methods", "npo"])

    assert json.loads(printed.stdout)["properties"]["beta"]["default"] == 0.1


def test_unknown_method_is_refused():
    refused = CliRunner().invoke(commands, ["methods", "magic"])

    assert isinstance(refused.exception, CommandError)


def test_a_watch_that_cannot_say_how_the_job_ended_has_a_code_of_its_own(monkeypatch):
    monkeypatch.delenv("LETHE_API_KEY", raising=False)
    monkeypatch.setattr(sys, "argv", ["lethe", "watch", "job_1"])
    monkeypatch.setattr(os, "umask", lambda _: 0)  # would stay for the tests after this one

    with pytest.raises(SystemExit) as ended:
        app()

    assert ended.value.code == 3
