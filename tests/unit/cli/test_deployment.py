import os
import stat
import subprocess
import sys

import pytest

from cli.composition import open_backends
from cli.deployment import Deployment
from cli.errors import CommandError


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_secret_is_made_once_and_only_we_may_read_it(tmp_path):
    first = Deployment.at(tmp_path / "data").environment["LETHE_SECRET_KEY"]
    second = Deployment.at(tmp_path / "data").environment["LETHE_SECRET_KEY"]

    assert first == second
    assert len(first) == 64
    assert mode(tmp_path / "data" / "secret.key") == 0o600
    assert mode(tmp_path / "data") == 0o700


def test_socket_lies_in_a_private_directory_of_the_deployment(tmp_path):
    deployment = Deployment.at(tmp_path / "d")

    assert deployment.socket == tmp_path / "d" / "run" / "valkey.sock"
    assert mode(deployment.socket.parent) == 0o700


def test_socket_of_a_deep_directory_has_a_short_path_that_is_always_the_same(tmp_path):
    deep = tmp_path / ("deep" * 30)

    deployment = Deployment.at(deep)

    assert len(os.fsencode(deployment.socket)) <= 103
    assert deployment.socket == Deployment.at(deep).socket
    assert mode(deployment.socket.parent) == 0o700
    deployment.socket.parent.rmdir()


def test_socket_directory_that_others_may_enter_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o755)

    with pytest.raises(PermissionError):
        Deployment.at(tmp_path)


def test_directory_with_odd_characters_can_be_opened(tmp_path):
    backends = open_backends(tmp_path / "a b#c%20?d")

    backends.store.check()
    assert backends.base_models.list().data == ()
    assert (tmp_path / "a b#c%20?d" / "lethe.db").exists()


def test_directory_that_others_may_read_is_closed_and_so_is_all_that_is_written_into_it(tmp_path):
    data = tmp_path / "data"
    for directory in (data, data / "logs"):
        directory.mkdir()
        directory.chmod(0o755)
    command = ["-c", "from cli.main import app; app()", "keys", "create", "--tenant", "acme", "--data-dir", str(data)]

    subprocess.run([sys.executable, *command], check=True, capture_output=True, umask=0o022)

    written = {path: mode(path) for path in [data, *data.rglob("*")]}
    assert data / "lethe.db" in written
    assert [str(path) for path, bits in written.items() if bits & 0o077] == []


def test_directory_that_is_shared_is_refused_and_left_as_it_is(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)

    with pytest.raises(CommandError, match="directory of yours alone"):
        Deployment.at(shared)

    assert mode(shared) == 0o1777


def test_scratch_of_killed_runs_is_cleared(tmp_path):
    deployment = Deployment.at(tmp_path)
    (tmp_path / "work" / "job_1-1").mkdir()
    (tmp_path / "work" / "job_1-1" / "text").write_text("left by a kill")

    deployment.clear_scratch()

    assert list((tmp_path / "work").iterdir()) == []
