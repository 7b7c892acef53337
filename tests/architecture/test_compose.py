"""The compose files fit their schema, the folders and the settings, and open nothing to the network."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest
import yaml

from scripts.service_settings import settings_of, variables
from services.encoder.shipped import BY_VLLM
from services.retriever.plan import SHIPPED, load_plan
from tests.architecture.tree import ROOT, SERVICES
from trimtab.contracts.component import Release
from trimtab.telemetry import traces
from trimtab.worker.settings import DeploymentSettings, WorkerSettings

FILES = ("compose.yaml", "compose.gpu.yaml", "compose.observability.yaml")
_ORDER = (
    "image",
    "build",
    "command",
    "mem_limit",
    "restart",
    "stop_grace_period",
    "read_only",
    "cap_drop",
    "security_opt",
    "tmpfs",
    "shm_size",
    "volumes",
    "ports",
    "environment",
    "env_file",
    "healthcheck",
    "depends_on",
    "deploy",
)
_HARDENED = {
    "restart": "unless-stopped",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "tmpfs": ["/tmp"],
}


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return loaded


CORE: dict[str, Any] = _load("compose.yaml")["services"]
BLOCKS = [
    pytest.param(block, id=f"{name}:{key}")
    for name in FILES
    for key, block in _load(name)["services"].items()
]
WHOLE = [
    pytest.param(block, id=f"{name}:{key}")
    for name in FILES
    for key, block in _load(name)["services"].items()
    if "image" in block and "restart" in block
]


@pytest.mark.parametrize("name", FILES)
def test_a_compose_file_fits_the_compose_specification(name: str) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_schema_check_refuses_a_misspelt_key(tmp_path: Any) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text("services: { nats: { imagee: nats } }")

    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            wrong,
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 1
    assert "imagee" in checked.stdout


def test_the_core_file_is_nats_and_the_six_services() -> None:
    assert list(CORE) == ["nats", *SERVICES]


def test_nats_is_the_official_image() -> None:
    assert CORE["nats"]["image"].startswith("nats:2.15")


@pytest.mark.parametrize("block", BLOCKS)
def test_the_keys_of_every_block_stand_in_the_same_order(block: dict[str, Any]) -> None:
    assert list(block) == [key for key in _ORDER if key in block]


@pytest.mark.parametrize("block", WHOLE)
def test_every_container_has_a_memory_limit_and_no_privileges(block: dict[str, Any]) -> None:
    assert {key: block.get(key) for key in _HARDENED} == _HARDENED
    assert "mem_limit" in block


@pytest.mark.parametrize("block", BLOCKS)
def test_ports_are_open_to_this_machine_only(block: dict[str, Any]) -> None:
    assert all(port.startswith("127.0.0.1:") for port in block.get("ports", []))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_built_from_its_own_folder(service: str) -> None:
    block = CORE[service]

    assert block["image"] == f"trimtab/{service}"
    assert block["build"]["args"] == {"SERVICE": service}
    assert (ROOT / block["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", FILES)
def test_every_variable_of_a_block_is_one_the_process_knows(name: str, service: str) -> None:
    known = {*variables(DeploymentSettings), *variables(settings_of(service)), traces.ENDPOINT}

    assert set(_load(name)["services"].get(service, {}).get("environment", {})) <= known


@pytest.mark.parametrize("service", SERVICES)
def test_the_healthcheck_asks_the_port_that_the_service_listens_on(service: str) -> None:
    port = CORE[service]["environment"][f"{service.upper()}_HTTP_PORT"]

    assert f":{port}/ready" in CORE[service]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_killed_only_after_its_drain(service: str) -> None:
    drain_s = WorkerSettings.model_fields["drain_timeout_s"].default

    assert int(CORE[service]["stop_grace_period"].removesuffix("s")) > drain_s


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_when_nats_is_healthy(service: str) -> None:
    assert CORE[service]["depends_on"]["nats"] == {"condition": "service_healthy"}


def test_the_gateway_starts_when_every_stage_is_healthy() -> None:
    assert set(CORE["gateway"]["depends_on"]) == {"nats", *SERVICES} - {"gateway"}


@pytest.mark.parametrize("name", FILES[1:])
def test_an_overlay_changes_services_of_the_core_or_brings_its_own(name: str) -> None:
    for key, block in _load(name)["services"].items():
        assert (key in CORE) is ("restart" not in block)


def test_prometheus_scrapes_every_service_at_the_port_of_its_block() -> None:
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    scraped = {
        name: found["port"]
        for job in jobs
        for found in job.get("dns_sd_configs", [])
        for name in found["names"]
    }
    listening = {
        service: int(CORE[service]["environment"][f"{service.upper()}_HTTP_PORT"])
        for service in SERVICES
    }

    assert scraped == listening


def test_the_gateways_facade_listens_on_the_port_that_is_published() -> None:
    gateway = CORE["gateway"]

    assert gateway["ports"] == [f"127.0.0.1:8080:{gateway['environment']['GATEWAY_API_PORT']}"]
    assert gateway["environment"]["GATEWAY_API_HOST"] == "0.0.0.0"


def test_the_release_of_the_gpu_overlay_differs_in_its_encoder_and_the_kind_of_its_index() -> None:
    shipped = (ROOT / "services/controller/releases/base.json").read_bytes()
    base = msgspec.json.decode(shipped, type=Release)
    gpu = msgspec.json.decode((ROOT / "deploy/releases/base-gpu.json").read_bytes(), type=Release)

    by_ivf = "hybrid-ivf@1"
    assert gpu == msgspec.structs.replace(base, name="base-gpu", encode=BY_VLLM, retrieve=by_ivf)
    services = _load("compose.gpu.yaml")["services"]
    first = services["controller"]["environment"]["CONTROLLER_FIRST_RELEASE"]
    assert first.endswith("/base-gpu.json")
    retriever = services["retriever"]["environment"]
    assert (retriever["RETRIEVER_DEVICE"], retriever["RETRIEVER_COMPONENT"]) == ("gpu", by_ivf)


def test_the_retriever_of_the_gpu_overlay_has_lists_that_a_gpu_can_hold() -> None:
    named = _load("compose.gpu.yaml")["services"]["retriever"]["environment"]["RETRIEVER_COMPONENT"]

    plan, _ = load_plan(SHIPPED / named)

    assert plan.index.kind == "ivf"
