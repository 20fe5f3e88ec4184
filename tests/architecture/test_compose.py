import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from api.settings import ApiSettings
from cli.settings import DeploymentSettings
from core.backends.sql.engine import open_engine
from core.backends.storage.object_store import open_store
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?P<rest>[^}]*)\}")

SETTINGS = {
    "api": ApiSettings,
    "worker": WorkerSettings,
    "sweeper": WorkerSettings,
    "migrate": DeploymentSettings,
    "admin": DeploymentSettings,
}
ONE_SHOT = {"bucket", "migrate", "admin"}
LONG_RUNNING = sorted(SERVICES.keys() - ONE_SHOT)
SECRET = re.compile("PASSWORD|SECRET|KEY|TOKEN")


def environment_of(service):
    return SERVICES[service].get("environment", {})


def lethe_settings_of(service):
    """Return a service's settings by field name, as they are once .env holds secrets as the example says to make."""
    secret = "9f86d081884c7d659a2feaa0c55ad015"
    return {
        name.removeprefix("LETHE_").lower(): VARIABLE.sub(secret, value)
        for name, value in environment_of(service).items()
        if name.startswith("LETHE_")
    }


def seconds(duration):
    assert re.fullmatch("[0-9]+s", duration)
    return int(duration[:-1])


def test_the_services_are_those_of_the_design():
    backends = {"postgres", "valkey", "store", "bucket"}
    assert SERVICES.keys() == backends | {"migrate", "api", "worker", "sweeper", "admin"}


@pytest.mark.parametrize("service", SETTINGS)
def test_every_setting_of_a_service_exists(service):
    assert lethe_settings_of(service).keys() <= SETTINGS[service].model_fields.keys()


@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_starts_with_the_settings_it_is_given(service, monkeypatch):
    for name in SETTINGS[service].model_fields:
        monkeypatch.delenv(f"LETHE_{name.upper()}", raising=False)
    settings = SETTINGS[service](**lethe_settings_of(service))

    assert open_engine(settings.database_url.get_secret_value()).url.host == "postgres"
    assert open_store(settings.store_url, endpoint=settings.s3_endpoint_url)
    assert settings.s3_access_key_id
    assert settings.s3_secret_access_key


@pytest.mark.parametrize("service", SERVICES.keys() - SETTINGS.keys())
def test_other_services_are_given_no_setting_of_ours(service):
    assert not lethe_settings_of(service)


def test_services_without_need_for_the_secret_do_not_get_it():
    holders = {name for name in SERVICES if "LETHE_SECRET_KEY" in environment_of(name)}
    assert holders == {"api", "migrate", "admin"}


def test_urls_name_services_at_the_ports_where_they_listen():
    assert COMPOSE["x-settings"]["LETHE_DATABASE_URL"].endswith("@postgres:5432/lethe")
    assert COMPOSE["x-broker"]["LETHE_BROKER_URL"].endswith("@valkey:6379/0")
    assert COMPOSE["x-settings"]["LETHE_S3_ENDPOINT_URL"] == "http://store" + environment_of("store")["VGW_PORT"]
    bucket = COMPOSE["x-settings"]["LETHE_STORE_URL"].removeprefix("s3://")
    assert SERVICES["bucket"]["entrypoint"][-1] == f"{environment_of('store')['VGW_BACKEND_ARG']}/{bucket}"


def test_no_secret_has_a_default():
    defaulted = [found["name"] for found in VARIABLE.finditer(TEXT) if not found["rest"].startswith(":?")]
    assert not [name for name in defaulted if SECRET.search(name)]


def test_no_secret_is_written_down():
    literal = [
        (service, name)
        for service in SERVICES
        for name, value in environment_of(service).items()
        if SECRET.search(name) and not VARIABLE.fullmatch(value)
    ]
    assert not literal


def test_the_example_environment_names_every_variable_and_fills_in_none():
    lines = (ROOT / ".env.example").read_text().splitlines()
    entries = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert entries.keys() == {found["name"] for found in VARIABLE.finditer(TEXT)}
    assert not any(entries.values())


def test_the_api_alone_is_reachable_and_from_this_machine_alone():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["${API_ADDRESS:-127.0.0.1}:${API_PORT:-8000}:8000"]}


def test_who_reads_texts_has_no_way_out():
    assert COMPOSE["networks"]["backend"]["internal"]
    outward = {name for name, service in SERVICES.items() if set(service.get("networks", [])) - {"backend"}}
    assert outward == {"api", "admin"}
    assert SERVICES["bucket"]["network_mode"] == "none"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_no_rights_that_it_does_not_use(service):
    described = SERVICES[service]
    assert described["read_only"]
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc"} & described.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_pinned(service):
    _, _, tag = SERVICES[service]["image"].rpartition(":")
    assert re.match(r"v?[0-9]+\.[0-9]+", tag)


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_a_long_running_service_is_watched_and_restarted(service):
    described = SERVICES[service]
    assert described["restart"] == "unless-stopped"
    assert "healthcheck" in described or _image_has_health_check(described)


def _image_has_health_check(described):
    return "\nHEALTHCHECK " in (ROOT / described["build"]["dockerfile"]).read_text()


@pytest.mark.parametrize("service", sorted(ONE_SHOT))
def test_a_one_shot_service_is_neither_watched_nor_restarted(service):
    assert SERVICES[service]["restart"] == "no"
    assert SERVICES[service].get("healthcheck", {"disable": True}) == {"disable": True}


@pytest.mark.parametrize("service", ["api", "worker", "sweeper"])
def test_nothing_of_ours_starts_before_schema_broker_and_store(service):
    assert SERVICES[service]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "valkey": {"condition": "service_healthy"},
        "store": {"condition": "service_healthy"},
    }
    assert SERVICES["store"]["depends_on"] == {"bucket": {"condition": "service_completed_successfully"}}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_the_worker_reserves_a_gpu_and_insists_on_it():
    (device,) = SERVICES["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert lethe_settings_of("worker")["device"] == "cuda"
    assert re.fullmatch("[0-9]+", environment_of("worker")["CUDA_VISIBLE_DEVICES"])  # of however many: one


def test_the_worker_has_time_to_hand_its_job_back():
    settings = WorkerSettings(**lethe_settings_of("worker"))
    needed = timedelta(seconds=settings.cancel_grace_seconds) + settings.lease
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > needed.total_seconds()


def test_what_is_mounted_and_joined_is_declared():
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    joined = {network for service in SERVICES.values() for network in service.get("networks", [])}
    assert {name for name in mounted if not name.startswith("$")} == COMPOSE["volumes"].keys()
    assert joined == COMPOSE["networks"].keys()
