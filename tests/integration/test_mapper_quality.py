"""A changed mapper is measured on golden cases over the bus before it may take requests, and refused until it passed."""

import asyncio
from pathlib import Path

import pytest

from tests.drills.adapters import push, variant
from tests.fleet import ROOT, SERVICES, Fleet
from tests.integration.refusals import refused, trimtab
from trimtab.client import Client

pytestmark = pytest.mark.integration

NEXT = "next-head@2"
UNSURE = "unsure-head@2"
"""Never sure enough to answer."""


def thresholds(folder: Path) -> Path:
    """Write the shipped thresholds with time for a busy machine: how fast it answers is not the matter here."""
    shipped = (ROOT / "deploy" / "policies" / "quality.yaml").read_text()
    file = folder / "quality.yaml"
    file.write_text(shipped.replace("cpu: 250", "cpu: 60000"))
    return file


async def loaded(client: Client, component: str) -> None:
    """Wait until the controller knows of a mapper that holds a component."""
    async with asyncio.timeout(120):
        while not any(
            component in worker.components for worker in (await client.status(timeout_s=20)).workers
        ):
            await asyncio.sleep(0.1)


async def test_a_changed_mapper_is_refused_until_its_golden_cases_passed_for_exactly_this_release(
    stocked_fleet: Fleet, tmp_path: Path
) -> None:
    fleet = stocked_fleet
    generous = thresholds(tmp_path)
    fleet.spawn("controller", quality=str(generous))
    await fleet.ready()
    unknown = await trimtab(fleet, "mapper", "quality", "validate", "nobody")
    unserved = await trimtab(fleet, "mapper", "quality", "smoke")
    await fleet.start(*(service for service in SERVICES if service != "controller"))
    async with Client.connect(fleet.url, name="test") as client:
        for name, component, confidence in (("next", NEXT, 0.95), ("bad", UNSURE, 0.3)):
            await push(client, variant(tmp_path, component, confidence=confidence))
            await trimtab(fleet, "release", "create", name, "--map", component)
            await loaded(client, component)
    start = ("canary", "start", "next", "--weight", "5")
    validate = ("mapper", "quality", "validate", "--thresholds", str(generous))

    unmeasured = await trimtab(fleet, *start)
    failing = await trimtab(fleet, *validate, "bad")
    after_failing = await trimtab(fleet, "canary", "start", "bad", "--dry-run")
    passing = await trimtab(fleet, *validate, "next", "--reason", "new adapter")
    shown = await trimtab(fleet, "release", "show", "next")
    allowed = await trimtab(fleet, *start)
    promoted = await trimtab(fleet, "canary", "promote")
    smoke = await trimtab(fleet, "mapper", "quality", "smoke", "--n", "12")
    await trimtab(fleet, "mapper", "runtime", "kill-switch", "on", "--reason", "test")
    switched = await trimtab(fleet, *validate, "--detector", "perspective")
    by_rules = await trimtab(fleet, "mapper", "quality", "smoke", "--detector", "llama-guard")

    assert (unknown.code, unserved.code) == (1, 3)
    assert "nobody" in unknown.json["error"]["problem"]
    assert unmeasured.code == 1
    assert "gate:quality" in unmeasured.errors
    assert "trimtab mapper quality validate next" in unmeasured.errors
    assert failing.code == 1
    assert "fallback" in {check["name"] for check in failing.json["checks"] if not check["ok"]}
    assert refused(after_failing) == ["gate:quality"]
    assert passing.code == 0, passing.json["checks"]
    assert (passing.json["verdict"], passing.json["recorded"]) == ("PASS", True)
    assert passing.json["release_hash"] == shown.json["hash"]
    assert [NEXT in version for version in passing.json["versions"]["adapter"]] == [True]
    assert shown.json["gates"]["quality"]["shortfall"] == ""
    assert allowed.json["status"] == "written", allowed.errors
    assert promoted.json["status"] == "written", promoted.errors
    assert smoke.code == 0, smoke.json
    assert {row["release"] for row in smoke.json["cases"]} == {"next"}
    not_so = [check["name"] for check in switched.json["checks"] if not check["ok"]]
    assert (switched.code, switched.json["recorded"]) == (1, False)
    assert "answers under the kill-switch" in not_so
    assert (by_rules.code, len(by_rules.json["cases"])) == (0, 10)
