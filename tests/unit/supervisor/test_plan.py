"""Which processes a deployment has, and what each is told."""

import os
from pathlib import Path

from trimtab.supervisor import plan
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import SERVICES, UpOptions

HOME = Home(Path("/h"))
RELEASE = Path("/h/release.json")


def test_every_service_runs_once_unless_more_are_asked_for() -> None:
    specs = plan.services(UpOptions(home="/h", workers={"encoder": 2}), HOME, RELEASE)

    assert [spec.name for spec in specs] == [
        "controller-1", "encoder-1", "encoder-2", "retriever-1", "reranker-1", "mapper-1", "gateway-1",
    ]  # fmt: skip
    assert {spec.arguments[2] for spec in specs} == {f"services.{name}" for name in SERVICES}


def test_each_process_knows_the_bus_its_name_and_its_parent() -> None:
    specs = {s.name: s for s in plan.services(UpOptions(home="/h", nats_port=4321), HOME, RELEASE)}

    environment = specs["mapper-1"].environment

    assert environment["TRIMTAB_NATS_URL"] == "nats://127.0.0.1:4321"
    assert environment["TRIMTAB_HOME"] == "/h"
    assert environment["TRIMTAB_PARENT_PID"] == str(os.getpid())
    assert environment["MAPPER_INSTANCE"] == "mapper-1"


def test_only_the_gateway_is_the_edge_and_gets_the_public_port() -> None:
    specs = plan.services(UpOptions(home="/h", http_port=8123), HOME, RELEASE)

    edges = [spec for spec in specs if spec.tier == "edge"]

    assert [spec.name for spec in edges] == ["gateway-1"]
    assert edges[0].environment["GATEWAY_API_PORT"] == "8123"
