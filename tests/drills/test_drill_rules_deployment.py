"""Promise: one command puts new rules before every mapper, another takes them back; bad ones never serve.

Runbook 1 sections 1 and 3: a rule or taxonomy change, its versions on every worker, and its rollback.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from services.mapper.bundles.bundle import KIND, Sources
from tests.drills import record
from tests.drills.adapters import push
from tests.drills.command_line import exit_code, trimtab
from tests.drills.steering import acknowledgements, offer, release, stored
from tests.drills.streaming import streaming
from tests.fleet import SERVICES, Fleet
from tests.unit.mapper import bundled
from trimtab.artifacts.manifest import write_manifest
from trimtab.client import Client
from trimtab.contracts.pipeline import MapAnswer

pytestmark = pytest.mark.drill

GOOD, BAD = "both-rules@2", "both-rules@3"
OUTPUT = "hate"
DETECTOR = "openai-moderation"


def detectors(answer: MapAnswer) -> str:
    """Return the detectors that answered, by the mapper's own word: content hash."""
    return answer.answer.versions["detectors"]


def bundles(folder: Path) -> None:
    """Write a good bundle with one more alias and another taxonomy beside it, and a bad one."""
    safety, pets = bundled.sources(), bundled.pets(folder / "own")
    own = folder / "detectors"
    own.mkdir()
    assert safety.detectors is not None
    for path in safety.detectors.glob("*.yaml"):
        text = path.read_text()
        (own / path.name).write_text(text + "  # changed\n" if "aliases:" not in text else text)
    changed = own / f"{DETECTOR}.yaml"
    changed.write_text(
        changed.read_text().replace("  hate_threat:", "  hateful_speech: hate\n  hate_threat:")
    )
    made = Sources(safety.taxonomy, own, safety.frameworks, safety.choice)
    bundled.written(folder, GOOD, made, pets)
    bundled.written(folder, BAD, made, pets)
    wrong = folder / BAD / "pets" / "detectors" / "kennel.yaml"
    wrong.write_text(bundled.KENNEL.replace("PET.Dog", "PET.Cow"))
    write_manifest(folder / BAD, name="both-rules", version="3", kind=KIND)


async def test_rules_are_put_before_every_mapper_and_taken_back_by_one_command_each(
    stocked_fleet: Fleet, tmp_path: Path
) -> None:
    await asyncio.to_thread(bundles, tmp_path)
    for service in SERVICES:
        stocked_fleet.spawn(service)
    stocked_fleet.spawn("mapper", instance="mapper-2")
    await stocked_fleet.ready()
    everybody = {member.instance for member in stocked_fleet.members}

    async def say(*words: str) -> Any:
        return await asyncio.to_thread(trimtab, stocked_fleet, *words)

    async with (
        Client.connect(stocked_fleet.url, name="drill") as client,
        Client.connect(stocked_fleet.url, name="load") as loading,
        acknowledgements(client) as heard,
    ):
        old = await client.map(OUTPUT, detector=DETECTOR, timeout_s=20)
        before = await say("mapper", "versions", "show")
        ask = lambda: loading.map(OUTPUT, detector=DETECTOR, timeout_s=20)  # noqa: E731
        async with streaming(ask) as stream:
            await stream.grown(20)
            await push(client, tmp_path / GOOD)
            await offer(client, release("both-rules-2", map=GOOD), GOOD)
            deployed = await say(
                "mapper",
                "rules",
                "deploy",
                str(tmp_path / GOOD),
                "--no-validate",
                "--reason",
                "drill",
            )
            promoted_at = await heard.applied(int(deployed["revision"]), everybody)
            await stream.until(lambda answer: detectors(answer) != detectors(old))
            alias = await client.map("hateful_speech", detector=DETECTOR, timeout_s=20)
            dog = await client.map("woof", detector="kennel", taxonomy="pets", timeout_s=20)
            only = await client.map(OUTPUT, detector=DETECTOR, frameworks=["SOC2"], timeout_s=20)
            await client.map(
                "nobody knows this 17", detector="kennel", taxonomy="pets", timeout_s=20
            )
            shown = await say("mapper", "versions", "show")
            listed = await say("mapper", "versions", "list")
            changes = await say("mapper", "versions", "diff", "base", GOOD)
            report = await say("mapper", "frameworks", "report", "--page", str(tmp_path / "r.html"))
            unknown = await say("mapper", "fallbacks")

            refused = await asyncio.to_thread(
                exit_code, stocked_fleet, "mapper", "rules", "deploy", str(tmp_path / BAD)
            )
            kept = (await stored(client)).state.stable

            trigger_at = time.time()
            said = await say("rollback", "--reason", "drill")
            applied_at = await heard.applied(int(said["revision"]), everybody)
            await stream.until(lambda answer: detectors(answer) == detectors(old))
            await stream.grown(20)

    between = [reply.answer for reply in stream.after(promoted_at, trigger_at)]
    back = stream.after(applied_at)
    record.write(
        "rules-deployment",
        **record.recovery(
            trigger_at,
            applied_at,
            stream.verified(applied_at, lambda a: detectors(a) == detectors(old)),
        ),
        replies=len(stream.replies),
        lost=stream.lost,
    )
    assert (before["agree"], set(before["workers"])) == (True, {"mapper-1", "mapper-2"})
    assert {answer.release for answer in between} == {"both-rules-2"}
    assert len({detectors(answer) for answer in between}) == 1
    assert alias.answer.taxonomy == ["HARM.SPEECH.Hate"]
    assert (dog.answer.taxonomy, dog.answer.decided_by) == (["PET.Dog"], "rules")
    assert only.answer.controls == {"SOC2": ["CC7.2"]}
    assert (shown["component"], shown["agree"]) == (GOOD, True)
    for worker in shown["workers"].values():
        served = {(each["component"], each["taxonomy"]) for each in worker["served"]}
        assert {(GOOD, "ai-safety"), (GOOD, "pets"), ("safety-head@1", "ai-safety")} == served
    status = {row["component"]: row for row in listed}
    assert (status[GOOD]["status"], status[GOOD]["workers"]) == ("stable", ["mapper-1", "mapper-2"])
    assert status["safety-head@1"]["status"] == "previous"
    assert 0 < status["safety-head@1"]["quality"]["top1"] <= 1
    assert any(line.startswith("ai-safety.detectors: ") for line in changes)
    assert any(line.startswith("pets.taxonomy: absent -> ") for line in changes)
    counted = {row["control"]: row["answers"] for row in report["frameworks"]["SOC2"]}
    assert counted["CC7.2"] > 20
    assert "CC7.2" in (tmp_path / "r.html").read_text()
    assert [row["detector"] for row in unknown["unmapped"]] == ["kennel"]
    assert "nobody knows" not in json.dumps([unknown, report, shown])

    assert (refused, kept) == (1, "both-rules-2")
    assert {reply.answer.release for reply in back} == {"base"}
    assert {detectors(reply.answer) for reply in back} == {detectors(old)}
    assert stream.lost == 0
