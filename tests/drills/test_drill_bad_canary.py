"""Promise: a canary that is worse is taken back by itself, whatever is bad about it, and a good one is promoted.

Runbook 5: automatic rollback. Real processes all the way: the samples that decide are those of requests
that really failed, really took too long, or were really answered badly.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills import faulty_mapper, record
from tests.drills.adapters import push, variant
from tests.drills.ramping import ended, moved, policies
from tests.drills.steering import acknowledgements, offer, release, steer, stored
from tests.drills.streaming import Stream, streaming
from tests.fleet import Fleet
from trimtab.client import Client
from trimtab.contracts.control import Canary, Phase
from trimtab.contracts.orders import RollBackCommand, StartCanaryCommand
from trimtab.contracts.pipeline import MapAnswer

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
CALLERS = 8
UNSURE = "unsure@1"
GOOD = "good@1"
POLICY = """\
name: quick
source: this drill
endpoint: pipeline_map
steps:
  - {weight: 20, hold: 1s, min_requests: 60}
  - {weight: 50, hold: 1s, min_requests: 60}
max_hold: 10m
alpha: 0.01
guardrails:
  - {name: errors, endpoint: pipeline_map, event: error, severity: critical, max_rate: 0.08}
  - {name: latency, endpoint: pipeline_map, event: latency > 1200ms, severity: critical, max_rate: 0.08}
  - {name: unsure, endpoint: map, event: fallback_low_confidence, severity: critical, max_rate: 0.08}
"""


@pytest.fixture(scope="module")
def judged(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One pipeline for all canaries of this file: controller with a quick policy, encoder, mapper, gateway."""
    fleet = Fleet(tmp_path_factory.mktemp("judged"))
    fleet.adopt(template)
    fleet.server.start()
    fleet.spawn("controller", policies=policies(fleet, POLICY))
    fleet.spawn("mapper", module=faulty_mapper.MODULE)
    fleet.spawn("encoder")
    fleet.spawn("gateway")
    yield fleet
    fleet.close()


async def ramp(fleet: Fleet, client: Client, component: str, tmp_path: Path) -> Canary:
    """Offer an adapter as a canary under the quick policy and let the controller decide."""
    name = component.partition("@")[0]
    confidence = 0.3 if component == UNSURE else 1.0
    await push(client, variant(tmp_path, component, confidence=confidence))
    await offer(client, release(name, map=component), component)
    # Forced: nothing retrieves or reranks in this drill, so those stages' interlocks would refuse.
    await steer(client, StartCanaryCommand(release=name, policy="quick"), force=True)
    return await ended(client)


def served(stream: Stream[MapAnswer], name: str) -> list[float]:
    """Return when the answers of a release came, unix seconds."""
    return [r.answered_at for r in stream.replies if r.answer.release == name]


@pytest.mark.parametrize(
    ("component", "guardrail"),
    [(faulty_mapper.FAILING, "errors"), (faulty_mapper.SLOW, "latency"), (UNSURE, "unsure")],
    ids=["a fifth of its requests fail", "a fifth of its requests are slow", "it is never sure"],
)
async def test_a_bad_canary_is_taken_back_by_itself(
    judged: Fleet, tmp_path: Path, component: str, guardrail: str
) -> None:
    await judged.ready()
    everybody = {member.instance for member in judged.members}
    name = component.partition("@")[0]
    async with (
        Client.connect(judged.url, name="drill") as client,
        Client.connect(judged.url, name="load") as loading,
        acknowledgements(client) as heard,
        streaming(lambda: loading.map(TEXT, timeout_s=20), CALLERS) as stream,
    ):
        taken_back = await ramp(judged, client, component, tmp_path)
        entry = await moved(client, "critical_failed")
        applied_at = await heard.applied(entry.revision, everybody)
        await stream.until(lambda answer: answer.release == "base")
        await stream.grown(50)
        written_at = (await stored(client)).state.at

    began = served(stream, name)[0]
    good_at = stream.verified(applied_at, lambda answer: answer.release == "base")
    record.write(
        f"bad-canary-{guardrail}",
        # Triggered by its first answer: that is when it began to be bad for somebody.
        **record.recovery(began, applied_at, good_at),
        first_answer_to_verdict_s=round(written_at - began, 3),
        verdict_to_last_worker_s=round(applied_at - written_at, 3),
        answers_of_the_canary=len(served(stream, name)),
        replies=len(stream.replies),
        errors=stream.lost,
    )
    assert (taken_back.phase, taken_back.weight_bp) == (Phase.ROLLED_BACK, 0)
    assert guardrail in taken_back.cause
    assert entry.epoch > 0
    assert any(line.startswith(f"{guardrail}: fail") for line in entry.evidence)
    assert {r.answer.release for r in stream.after(applied_at)} == {"base"}
    assert set(stream.tally.outcomes) - {"ok"} <= {"model_failed"}


async def test_a_good_canary_is_promoted_and_one_command_takes_it_back(
    judged: Fleet, tmp_path: Path
) -> None:
    await judged.ready()
    everybody = {member.instance for member in judged.members}
    async with (
        Client.connect(judged.url, name="drill") as client,
        Client.connect(judged.url, name="load") as loading,
        acknowledgements(client) as heard,
        streaming(lambda: loading.map(TEXT, timeout_s=20), CALLERS) as stream,
    ):
        began = time.time()
        promoted = await ramp(judged, client, GOOD, tmp_path)
        took_s = time.time() - began
        entry = await moved(client, "last_step_passed")
        promoted_at = await heard.applied(entry.revision, everybody)
        await stream.until(lambda answer: answer.release == "good")
        await stream.grown(50)
        rolled_at = time.time()
        back = await steer(client, RollBackCommand(), force=True)
        returned_at = await heard.applied(back.revision, everybody)
        await stream.grown(50)

    during = stream.after(promoted_at, rolled_at)
    good_at = stream.verified(returned_at, lambda answer: answer.release == "base")
    record.write(
        "good-canary",
        start_to_promotion_s=round(took_s, 3),
        **record.recovery(rolled_at, returned_at, good_at),
        replies=len(stream.replies),
        lost=stream.lost,
    )
    assert promoted.phase is Phase.PROMOTED
    assert {r.answer.release for r in during} == {"good"}
    assert {r.answer.release for r in stream.after(returned_at)} == {"base"}
    assert stream.lost == 0
