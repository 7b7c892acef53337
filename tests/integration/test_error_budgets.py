"""A real controller counts what real workers answered: gauges, status and alert move, and a restart forgets nothing."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsClient

from services.controller.app import build as build_controller
from services.controller.settings import ControllerSettings
from tests.workers import deployment, running
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.bus.server import Endpoint
from trimtab.cli import fleet
from trimtab.client import Client
from trimtab.contracts.errors import ModelFailed, RemoteError
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import Message
from trimtab.contracts.samples import BudgetStatus, StatusReply
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.service import Worker
from trimtab.worker.settings import WorkerSettings

pytestmark = pytest.mark.integration

REQUESTS = 60
SLOW_S = 0.02
RETRIEVE, SEARCH = "trimtab.v1.retrieve.slow-1", "trimtab.v1.search.failing-1"


class Ask(Message, frozen=True, kw_only=True):
    """A request of this test's own."""


async def slowly(request: Ask, _context: RequestContext) -> Ask:
    await asyncio.sleep(SLOW_S)
    return request


async def failing(_request: Ask, _context: RequestContext) -> Ask:
    raise ModelFailed("the model of this test")


def serving(
    service: str,
    endpoint: str,
    subject: str,
    answer: Callable[[Ask, RequestContext], Awaitable[Ask]],
) -> tuple[str, Endpoint]:
    return service, Endpoint(endpoint, subject, Ask, answer, steered=False)


@asynccontextmanager
async def controlled(server: LocalServer, home: Path, instance: str) -> AsyncIterator[None]:
    """Run a controller with the shipped policies until the block ends, then stop it in order."""
    settings = ControllerSettings(instance=instance)
    async with running(build_controller(deployment(server, home), settings)):
        yield


@asynccontextmanager
async def workers(server: LocalServer, home: Path) -> AsyncIterator[None]:
    """A retriever that is too slow and a gateway that fails, each with one endpoint."""
    served = (
        serving("retriever", "retrieve", RETRIEVE, slowly),
        serving("gateway", "pipeline_search", SEARCH, failing),
    )
    async with AsyncExitStack() as stack:
        for service, endpoint in served:

            async def load(worker: Worker, endpoint: Endpoint = endpoint) -> None:
                worker.serve(endpoint)

            chosen = WorkerSettings(instance=f"{service}-0")
            worker = Worker(service, "one endpoint", deployment(server, home), chosen, load)
            await stack.enter_async_context(running(worker))
        yield


async def ask(connection: NatsClient, subject: str) -> None:
    context = RequestContext(uuid.uuid4().hex, "acme", now_ms() + 60_000, role="stable")
    with contextlib.suppress(RemoteError):
        await Caller(connection).call(subject, Ask(), Ask, context)


async def status_once(
    connection: NatsClient, holds: Callable[[dict[str, BudgetStatus]], bool]
) -> StatusReply:
    """Return the controller's status as soon as something holds of its budgets."""
    client = Client(connection)
    async with asyncio.timeout(60):
        while True:
            found = await client.status(timeout_s=60)
            if holds({budget.objective: budget for budget in found.budgets}):
                return found
            await asyncio.sleep(0.05)


def all_counted(budgets: dict[str, BudgetStatus]) -> bool:
    return "5m" in budgets["retrieve"].burn and "5m" in budgets["errors"].burn


async def test_what_workers_answered_moves_the_gauges_and_the_status_and_outlives_the_controller(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with controlled(nats_server, tmp_path, "c-0"), workers(nats_server, tmp_path):
        untouched = await status_once(connection, lambda budgets: len(budgets) == 3)
        for subject in (RETRIEVE, SEARCH):
            await asyncio.gather(*(ask(connection, subject) for _ in range(REQUESTS)))
        counted = await status_once(connection, all_counted)
        burnt = pytest.approx(20)
        async with asyncio.timeout(60):
            while gauge("controller_slo_burn_rate", "retrieve", window="5m") != burnt:
                await asyncio.sleep(0.05)
        left = gauge("controller_slo_budget_remaining_ratio", "retrieve")

    async with controlled(nats_server, tmp_path, "c-1"):
        after = await status_once(connection, lambda budgets: len(budgets) == 3)

    before = {budget.objective: budget.remaining for budget in untouched.budgets}
    assert before == {"retrieve": 1.0, "rerank": 1.0, "errors": 1.0}
    burns = {budget.objective: budget.burn.get("1h") for budget in counted.budgets}
    assert burns == {"retrieve": pytest.approx(20), "rerank": None, "errors": pytest.approx(100)}
    assert left == pytest.approx(-19)
    assert after.budgets == counted.budgets
    assert "retrieve -1900 % left, burns 20x; rerank 100 % left" in fleet.budgets(after)


async def test_a_budget_that_burns_fast_is_an_alert_that_holds(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with controlled(nats_server, tmp_path, "c-0"), workers(nats_server, tmp_path):
        await asyncio.gather(*(ask(connection, RETRIEVE) for _ in range(REQUESTS)))
        async with asyncio.timeout(60):
            while not (found := await alerts(connection)):
                await asyncio.sleep(0.05)

    assert found == {"ErrorBudgetBurnsFast": 20, "ErrorBudgetBurnsSlowly": 20}


async def alerts(connection: NatsClient) -> dict[str, float]:
    """Return the error budget's alerts that are not quiet, with what they measure."""
    found = await Client(connection).status(timeout_s=60)
    return {
        alert.name: round(alert.measured or 0.0, 6)
        for alert in found.alerts
        if alert.name.startswith("ErrorBudget")
    }


def gauge(metric: str, objective: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(metric, {"objective": objective, **labels})
    return float("nan") if value is None else value
