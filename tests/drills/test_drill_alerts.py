"""Promise: what the shipped alerts are for raises them, its end clears them, and an order that wants it so keeps one silent.

Runbooks 2, 4 and 5. The shipped file with its own thresholds, only its durations, its least requests and the queue's
half minute cut short, and the controller's window with them: what is measured are requests that really failed, were
slow, came back garbled, were answered by rules, or waited.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.drills import faulty_mapper, record
from tests.drills.adapters import push, variant
from tests.drills.command_line import exit_code
from tests.drills.steering import offer, release, steer
from tests.drills.streaming import streaming
from tests.fleet import ROOT, Fleet
from trimtab.audit.ledger import Ledger
from trimtab.cli.exitcode import ExitCode
from trimtab.client import Client
from trimtab.contracts.control import Switch
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.jobs import JobState
from trimtab.contracts.orders import (
    KillCommand,
    RestoreCommand,
    RollBackCommand,
    StartCanaryCommand,
)
from trimtab.contracts.pipeline import MapCall
from trimtab.contracts.samples import AlertStatus

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
CALLERS = 4
UNSURE = "unsure@1"
HALF = 5000
WINDOW_S = "5"


def shortened(fleet: Fleet) -> str:
    """Return a folder with the shipped alerts: a second of violation is enough, and five requests are."""
    shipped = (ROOT / "deploy" / "policies" / "alerts.yaml").read_text()
    text = re.sub(r"for \d+ (minute|hour)s?", "for 1 second", shipped)
    text = text.replace("mapper_queue_lag > 30s", "mapper_queue_lag > 2s")
    folder = fleet.folder / "policies"
    folder.mkdir()
    (folder / "alerts.yaml").write_text(re.sub(r"min_requests: \d+", "min_requests: 5", text))
    return str(folder)


@pytest.fixture(scope="module")
def watched(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One pipeline for all faults of this file."""
    fleet = Fleet(tmp_path_factory.mktemp("watched"))
    fleet.adopt(template)
    fleet.server.start()
    fleet.spawn("controller", policies=shortened(fleet), window_s=WINDOW_S)
    fleet.spawn("mapper", module=faulty_mapper.MODULE)
    fleet.spawn("encoder")
    fleet.spawn("gateway")
    yield fleet
    fleet.close()


async def alerts(client: Client) -> dict[str, AlertStatus]:
    return {alert.name: alert for alert in (await client.status(timeout_s=20)).alerts}


async def until(client: Client, name: str, state: str) -> float:
    """Wait until an alert is in a state; ``quiet`` is not being told of. Returns the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(90):
        while True:
            found = (await alerts(client)).get(name)
            if (found.state if found else "quiet") == state:
                return round(time.monotonic() - began, 3)
            await asyncio.sleep(0.05)


async def said(client: Client, name: str) -> list[str]:
    """Return what the audit holds of an alert, oldest first."""
    ledger = await Ledger.open(client.connection, "drill")
    actor = f"trigger:{name}"
    return [entry.outcome async for entry in ledger.entries() if entry.actor == actor]


@asynccontextmanager
async def half_served_by(client: Client, component: str, folder: Path) -> AsyncIterator[None]:
    """Give half of the requests to a release with another adapter, for the length of the block."""
    name = component.partition("@")[0]
    confidence = 0.3 if component == UNSURE else 1.0
    await push(client, variant(folder, component, confidence=confidence))
    await offer(client, release(name, map=component), component)
    # Forced: nothing retrieves or reranks in this drill, so those stages' interlocks would refuse.
    await steer(client, StartCanaryCommand(release=name, weight_bp=HALF), force=True)
    yield
    await steer(client, RollBackCommand(), force=True)


@pytest.mark.parametrize(
    ("component", "alert"),
    [
        pytest.param(faulty_mapper.FAILING, "Mapper5xxHigh", id="requests fail"),
        pytest.param(faulty_mapper.SLOW, "MapperLatencyP95High", id="requests are slow"),
        pytest.param(UNSURE, "MapperFallbackHigh", id="rules answer"),
        pytest.param(faulty_mapper.GARBLED, "MapperSchemaValidLow", id="answers fit no schema"),
    ],
)
async def test_a_bad_adapter_raises_its_alert_and_taking_it_back_clears_it(
    watched: Fleet, tmp_path: Path, component: str, alert: str
) -> None:
    await watched.ready()
    async with (
        Client.connect(watched.url, name="drill") as client,
        Client.connect(watched.url, name="load") as loading,
        streaming(lambda: loading.map(TEXT, timeout_s=20), CALLERS) as stream,
    ):
        await stream.grown(20)
        before = await alerts(client)
        async with half_served_by(client, component, tmp_path):
            fires_s = await until(client, alert, "firing")
            raised = await asyncio.to_thread(exit_code, watched, "verify", alert)
            if component == UNSURE:
                await steer(client, KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"))
                await until(client, alert, "quiet")  # what was ordered is not counted
                await steer(client, RestoreCommand(switch=Switch.MAPPER_MODE))
                await until(client, alert, "firing")
        clears_s = await until(client, alert, "quiet")
        cleared = await asyncio.to_thread(exit_code, watched, "verify", alert)
        entries = await said(client, alert)

    record.write(f"alert-{alert}", fires_s=fires_s, clears_s=clears_s, window_s=WINDOW_S)
    assert alert not in before
    assert (raised, cleared) == (ExitCode.FAILED, ExitCode.OK)
    assert entries[:2] == ["fired", "cleared"]
    assert entries[-1] == "cleared"


async def test_jobs_that_wait_raise_the_alert_of_the_queue_until_they_are_worked_off(
    watched: Fleet,
) -> None:
    await watched.ready()
    async with Client.connect(watched.url, name="drill") as client:
        before = await alerts(client)
        await steer(client, KillCommand(switch=Switch.PIPELINE, value="closed"))
        job = await client.submit(MapCall(output="hate", detector="openai-moderation"))
        fires_s = await until(client, "MapperQueueLagHigh", "firing")
        await steer(client, RestoreCommand(switch=Switch.PIPELINE))
        done = await client.wait(job, timeout_s=60)
        clears_s = await until(client, "MapperQueueLagHigh", "quiet")
        entries = await said(client, "MapperQueueLagHigh")

    record.write("alert-MapperQueueLagHigh", fires_s=fires_s, clears_s=clears_s, window_s=WINDOW_S)
    assert "MapperQueueLagHigh" not in before
    assert done.state is JobState.DONE
    assert entries == ["fired", "cleared"]


async def test_a_bad_evaluation_raises_its_alerts_and_the_next_good_one_clears_them(
    watched: Fleet,
) -> None:
    await watched.ready()
    raised = ("RecallDropped", "RecallSinking", "ContainmentLow")

    def evaluation(recall: float, contain: float) -> Evaluation:
        return Evaluation(
            at=time.time(),
            release="base",
            collection="stdlib",
            queries=300,
            recall_at_5=recall,
            before=0.5,
            contain_at_50=contain,
        )

    async with Client.connect(watched.url, name="drill") as client:
        await client.tell(evaluation(0.44, 0.79))
        fired = [await until(client, name, "firing") for name in raised]
        await client.tell(evaluation(0.5, 0.9))
        cleared = [await until(client, name, "quiet") for name in raised]
        entries = [await said(client, name) for name in raised]

    record.write("alert-evaluation", fires_s=max(fired), clears_s=max(cleared))
    assert entries == [["fired", "cleared"]] * len(raised)


async def test_an_encoder_that_is_gone_raises_its_alert_until_another_one_is_ready(
    watched: Fleet,
) -> None:
    await watched.ready()
    async with Client.connect(watched.url, name="drill") as client:
        [encoder] = [member for member in watched.members if member.service == "encoder"]
        encoder.kill()
        fires_s = await until(client, "EmbeddingGpuUnavailable", "firing")
        watched.spawn("encoder")
        clears_s = await until(client, "EmbeddingGpuUnavailable", "quiet")

    record.write(
        "alert-EmbeddingGpuUnavailable", fires_s=fires_s, clears_s=clears_s, window_s=WINDOW_S
    )
