"""Promise: no reply is served by components of two releases, whatever is switched meanwhile.

The canary gets the share that was asked for, raising it moves nobody out, and a release that cannot be
loaded is refused by the worker that cannot load it, which keeps the last good one and obeys kills.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.drills import record
from tests.drills.adapters import push, variant
from tests.drills.asking import context
from tests.drills.mapper_itself import MapperItself
from tests.drills.steering import acknowledgements, offer, release, steer
from tests.drills.streaming import streaming
from tests.fleet import SERVICES, Fleet
from trimtab.bus.caller import Caller
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.control import ApplyStatus, Switch
from trimtab.contracts.errors import RemoteError
from trimtab.contracts.mapping import FallbackReason
from trimtab.contracts.orders import (
    AbortCommand,
    CreateReleaseCommand,
    KillCommand,
    PromoteCommand,
    RestoreCommand,
    RollBackCommand,
    SetWeightCommand,
    StartCanaryCommand,
)
from trimtab.contracts.pipeline import MapAnswer, MapCall, SearchReply

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
QUERY = "copy a whole directory tree"
ADAPTER = "safety-head@2"
RERANKER = "mlp-runbook4@1"
SWITCHES = 30
KEYS = [f"caller-{number}" for number in range(500)]
WEIGHTS_BP = (500, 2000, 5000, 8000)
SIGMAS = 5.0
"""A right share misses these bounds once in 1.7 million times."""
AT_ONCE = 16


@pytest.fixture(scope="module")
def switched(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The whole pipeline behind two gateways, which must agree on everybody's release."""
    fleet = Fleet(tmp_path_factory.mktemp("switched"))
    fleet.adopt(template)
    fleet.server.start()
    for service in (*SERVICES, "gateway"):
        fleet.spawn(service)
    yield fleet
    fleet.close()


async def both_releases(client: Client, folder: Path) -> None:
    """Make ``other``: another adapter and another reranker than ``base``, loaded everywhere."""
    await push(client, variant(folder, ADAPTER, confidence=0.9))
    await offer(client, release("other", map=ADAPTER, rerank=RERANKER), ADAPTER, RERANKER)


def maker(answer: MapAnswer) -> tuple[str, float]:
    """Return what only one release's mapper can have said: its adapter's content, its confidence."""
    return answer.answer.versions["adapter"], answer.answer.confidence


def order_of(reply: SearchReply) -> tuple[float, ...]:
    """Return what only one release's reranker can have said: its scores."""
    assert not reply.degraded
    return tuple(result.score for result in reply.results)


async def references(client: Client) -> tuple[tuple[str, float], tuple[float, ...]]:
    """Return what the release in force says of the text and of the query."""
    mapped = await client.map(TEXT, timeout_s=20)
    return maker(mapped), order_of(await client.search(QUERY, timeout_s=20))


async def test_no_reply_is_served_by_components_of_two_releases_while_they_are_switched(
    switched: Fleet, tmp_path: Path
) -> None:
    await switched.ready()
    everybody = {member.instance for member in switched.members}
    said: dict[str, tuple[tuple[str, float], tuple[float, ...]]] = {}
    async with (
        Client.connect(switched.url, name="drill") as client,
        Client.connect(switched.url, name="load") as loading,
        acknowledgements(client) as heard,
    ):
        await both_releases(client, tmp_path)
        said["base"] = await references(client)
        await steer(client, StartCanaryCommand(release="other"))
        promoted = await steer(client, PromoteCommand())
        await heard.applied(promoted.revision, everybody)
        said["other"] = await references(client)

        took = []
        async with (
            streaming(lambda: loading.map(TEXT, timeout_s=20), 3) as maps,
            streaming(lambda: loading.search(QUERY, timeout_s=20), 3) as searches,
        ):
            for _ in range(SWITCHES):
                began_at = time.time()
                back = await steer(client, RollBackCommand(), force=True)
                took.append(await heard.applied(back.revision, everybody) - began_at)
                await maps.grown(3)
                await searches.grown(3)
        await steer(client, RollBackCommand(to="base"), force=True)

    record.write(
        "switching",
        switches=SWITCHES,
        median_to_last_worker_s=round(sorted(took)[SWITCHES // 2], 4),
        slowest_to_last_worker_s=round(max(took), 4),
        map_replies=len(maps.replies),
        search_replies=len(searches.replies),
        lost=maps.lost + searches.lost,
    )
    assert said["base"][0] != said["other"][0]
    assert said["base"][1] != said["other"][1]
    for mapped in maps.replies:
        assert maker(mapped.answer) == said[mapped.answer.release][0]
    for found in searches.replies:
        assert order_of(found.answer) == said[found.answer.release][1]
    assert {r.answer.release for r in maps.replies} == {"base", "other"}
    assert {r.answer.release for r in searches.replies} == {"base", "other"}
    assert maps.lost == searches.lost == 0


async def served_by(client: Client, keys: list[str]) -> dict[str, str]:
    """Ask once for each caller; return the release that served each."""
    caller, places = Caller(client.connection), asyncio.Semaphore(AT_ONCE)

    async def ask(key: str) -> str:
        # A detector's label: the rules decide, no stage but the mapper is asked.
        call = MapCall(output="hate/threatening", detector="openai-moderation")
        async with places:
            mine = replace(context(20_000), unit=key)
            return (await caller.call(subjects.MAP_OUTPUT, call, MapAnswer, mine)).message.release

    return dict(zip(keys, await asyncio.gather(*map(ask, keys)), strict=True))


def within_bounds(count: int, total: int, weight_bp: int) -> bool:
    share = weight_bp / 10_000
    spread = math.sqrt(total * share * (1 - share))
    return abs(count - total * share) <= SIGMAS * spread


async def test_the_canary_gets_its_share_and_raising_the_weight_moves_nobody_out(
    switched: Fleet, tmp_path: Path
) -> None:
    await switched.ready()
    everybody = {member.instance for member in switched.members}
    in_canary: list[set[str]] = []
    async with (
        Client.connect(switched.url, name="drill") as client,
        acknowledgements(client) as heard,
    ):
        await both_releases(client, tmp_path)
        await steer(client, StartCanaryCommand(release="other"))
        for weight_bp in WEIGHTS_BP:
            raised = await steer(client, SetWeightCommand(weight_bp=weight_bp))
            await heard.applied(raised.revision, everybody)
            served = await served_by(client, KEYS)
            in_canary.append({key for key, name in served.items() if name == "other"})
        again = await served_by(client, KEYS)
        await steer(client, AbortCommand())

    record.write(
        "share",
        callers=len(KEYS),
        asked_percent=[weight_bp / 100 for weight_bp in WEIGHTS_BP],
        measured_percent=[round(100 * len(keys) / len(KEYS), 1) for keys in in_canary],
    )
    for keys, weight_bp in zip(in_canary, WEIGHTS_BP, strict=True):
        assert within_bounds(len(keys), len(KEYS), weight_bp)
    for fewer, more in itertools.pairwise(in_canary):
        assert fewer <= more, "raising the weight moved somebody out"
    assert {key for key, name in again.items() if name == "other"} == in_canary[-1]


async def test_a_release_that_cannot_be_loaded_is_refused_and_the_last_good_one_serves(
    switched: Fleet, tmp_path: Path
) -> None:
    await switched.ready()
    everybody = {member.instance for member in switched.members}
    mappers = {member.instance for member in switched.of("mapper")}
    async with (
        Client.connect(switched.url, name="drill") as client,
        Client.connect(switched.url, name="load") as loading,
        acknowledgements(client) as heard,
        streaming(lambda: loading.map(TEXT, timeout_s=20), 2) as stream,
    ):
        itself = await MapperItself.open(client, TEXT)
        await steer(client, CreateReleaseCommand(release=release("broken", map="nowhere@9")))
        with pytest.raises(RemoteError, match="no live mapper has loaded nowhere@9"):
            await steer(client, StartCanaryCommand(release="broken"))
        await stream.grown(20)

        forced_at = time.time()
        await steer(client, StartCanaryCommand(release="broken"), force=True)
        refused_at = await heard.said(ApplyStatus.REJECTED, mappers, after=forced_at)
        status = await client.status(timeout_s=20)
        before = (await itself.ask()).message.fallback_reason
        killed_at = time.time()
        await steer(client, KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"))
        await heard.said(ApplyStatus.APPLIED, mappers, after=killed_at)
        obeyed = (await itself.ask()).message.fallback_reason
        restored = await steer(client, RestoreCommand(switch=Switch.MAPPER_MODE))
        await steer(client, AbortCommand())
        await heard.applied(restored.revision, everybody)
        await stream.grown(20)

    record.write(
        "cannot-load",
        forced_to_refused_s=round(refused_at - forced_at, 3),
        replies=len(stream.replies),
        lost=stream.lost,
    )
    assert status.convergence is not None
    assert status.convergence.status == "rejected"
    assert any("nowhere@9" in line for line in status.convergence.lagging)
    assert {reply.answer.release for reply in stream.replies} == {"base"}
    assert (before, obeyed) == (None, FallbackReason.KILL_SWITCH)
    assert stream.lost == 0
