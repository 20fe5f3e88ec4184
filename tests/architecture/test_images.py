import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from api.settings import ApiSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
DOCKERFILES = {path.name.removesuffix(".Dockerfile"): path for path in sorted((ROOT / "docker").glob("*.Dockerfile"))}
EXTRAS = {"api": {"api", "cli"}, "worker": {"worker", "cli"}}
SETTINGS = {"api": ApiSettings, "worker": WorkerSettings}
HEAVY = ("torch", "transformers", "peft", "safetensors", "accelerate")


def instructions(image):
    """Return the Dockerfile's instructions, continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILES[image].read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def arguments_of(image, instruction):
    return [rest for name, rest in instructions(image) if name == instruction]


def copied_from_the_repository(image):
    copies = [shlex.split(rest)[:-1] for rest in arguments_of(image, "COPY") if not rest.startswith("--from=")]
    return [source for sources in copies for source in sources]


def test_there_is_an_image_for_each_half():
    assert DOCKERFILES.keys() == EXTRAS.keys()


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([hadolint, *DOCKERFILES.values()], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize("image", EXTRAS)
def test_the_base_is_pinned_to_a_patch_release(image):
    for base in arguments_of(image, "FROM"):
        assert re.match(r"python:3\.[0-9]+\.[0-9]+-slim-[a-z]+( AS [a-z]+)?$", base)


@pytest.mark.parametrize("image", EXTRAS)
def test_the_image_does_not_run_as_root(image):
    last_stage = instructions(image)[[name for name, _ in instructions(image)].index("FROM", 1) :]
    users = [rest for name, rest in last_stage if name == "USER"]
    assert users == ["10001:10001"]
    assert last_stage.index(("USER", "10001:10001")) < [name for name, _ in last_stage].index("CMD")


@pytest.mark.parametrize("image", EXTRAS)
def test_the_image_is_watched(image):
    assert len(arguments_of(image, "HEALTHCHECK")) == 1


@pytest.mark.parametrize("image", EXTRAS)
def test_what_is_copied_exists_and_reaches_the_build(image):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    for source in copied_from_the_repository(image):
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored


def test_nothing_else_reaches_the_build():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    admitted = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert admitted == {source for image in EXTRAS for source in copied_from_the_repository(image)}


@pytest.mark.parametrize("image", EXTRAS)
def test_the_image_installs_its_extras_from_the_lock(image):
    installs = [run for run in arguments_of(image, "RUN") if "pip install" in run]
    extras = {extra for run in installs for found in re.findall(r"'\.\[(.*?)\]'", run) for extra in found.split(",")}
    assert extras == EXTRAS[image]
    assert all("--constraint requirements.lock" in run for run in installs)


def test_the_extras_of_the_api_image_name_no_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = {re.split(r"[^A-Za-z0-9_-]", line)[0] for extra in EXTRAS["api"] for line in extras[extra]}
    names |= {re.split(r"[^A-Za-z0-9_-]", line)[0] for line in project["dependencies"]}
    assert not names & set(HEAVY)
    assert not any("pip install" in run and "torch" in run for run in arguments_of("api", "RUN"))


@pytest.mark.parametrize("image", EXTRAS)
def test_the_image_sets_only_settings_that_exist_and_no_secret(image):
    names = re.findall(r"\b([A-Z][A-Z0-9_]+)=", " ".join(arguments_of(image, "ENV")))
    ours = {name.removeprefix("LETHE_").lower() for name in names if name.startswith("LETHE_")}
    assert ours <= SETTINGS[image].model_fields.keys()
    assert not [name for name in names if re.search("PASSWORD|SECRET|KEY|TOKEN", name)]
    assert not arguments_of(image, "ARG")  # build arguments stay readable in the image's history


def test_worker_and_sweeper_are_watched_by_the_same_question():
    sweeper = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["sweeper"]
    assert sweeper["healthcheck"]["test"] == ["CMD", *_health_command("worker")]


def _health_command(image):
    (check,) = arguments_of(image, "HEALTHCHECK")
    command = yaml.safe_load(check.split("CMD", 1)[1])
    assert command[:2] == ["python", "-c"]
    return command


LIGHT_ONLY = f"""
import sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError(f"the light image has no {{name}}")

sys.meta_path.insert(0, Refusal())
"""


def test_the_api_image_can_run_the_sweeper_and_the_migration(tmp_path):
    settings = {
        "LETHE_DATABASE_URL": f"sqlite:///{tmp_path}/lethe.db",
        "LETHE_STORE_URL": f"file://{tmp_path}/artifacts",
        "LETHE_SECRET_KEY": "9f86d081884c7d659a2feaa0c55ad015",
    }
    program = LIGHT_ONLY + "import worker.sweeper; from cli.main import app; sys.argv[1:] = ['migrate']; app()"
    ran = subprocess.run([sys.executable, "-c", program], env=settings, cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    assert (tmp_path / "lethe.db").exists()


def test_the_health_check_fails_without_a_broker(tmp_path):
    settings = {
        "LETHE_DATABASE_URL": f"sqlite:///{tmp_path}/lethe.db",
        "LETHE_BROKER_URL": "redis://127.0.0.1:1/0",
        "LETHE_STORE_URL": f"file://{tmp_path}/artifacts",
    }
    command = [sys.executable, "-c", LIGHT_ONLY + _health_command("worker")[2]]
    ran = subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode == 1
    assert b"QueueUnavailableError" in ran.stderr
