"""Wiring of the controller: it watches the fleet, carries out orders, and leads when it holds the lease."""

import asyncio
import time
from typing import TypeVar

import msgspec
from nats.aio.msg import Msg

from services.controller.consequences import consequences
from services.controller.convergence import Acknowledgements
from services.controller.evaluationdesk import EvaluationDesk
from services.controller.evaluations import Evaluations
from services.controller.evaluationstore import EvaluationStore
from services.controller.fleet import Fleet
from services.controller.interlocks import Interlocks
from services.controller.leadership import Leadership
from services.controller.objectives import load_objectives
from services.controller.policy import WATCHED_FILES, Policy, load_policies
from services.controller.quality import read_quality
from services.controller.reconciler import Reconciler
from services.controller.recorder import Recorder
from services.controller.settings import ControllerSettings
from services.controller.status import Scene, converged, status
from services.controller.treasury import Treasury
from services.controller.triggers import Watch, parse_triggers
from services.controller.watchtower import Watchtower
from trimtab.audit.ledger import Ledger, signing_key
from trimtab.bus.ending import end
from trimtab.bus.server import Endpoint
from trimtab.bus.streams import ensure_jobs
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.control import Applied, Convergence
from trimtab.contracts.errors import InvalidMessage, TrimtabError
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import Message, decode, encode
from trimtab.contracts.orders import Order, Outcome
from trimtab.contracts.samples import HealthRequest, Sample, StatusReply, StatusRequest
from trimtab.control.execute import execute
from trimtab.control.gates import Limit
from trimtab.control.lease import Lease
from trimtab.control.store import ControlStore
from trimtab.telemetry.metrics import CONTROLLER_SAMPLES, CONTROLLER_WORKERS
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings

_TIDY_S = 5.0

Heard = TypeVar("Heard", bound=Message)


class Controller:
    """What the worker loads and unloads."""

    def __init__(self, settings: ControllerSettings) -> None:
        self._settings = settings
        self._fleet = Fleet(settings.window_s, settings.forget_after_s)
        self._words = Acknowledgements()
        self._evaluations = Evaluations()
        self._policies: dict[str, Policy] = {}
        self._quality: tuple[Limit, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []

    async def load(self, worker: Worker) -> None:
        """Write the first state if there is none, then listen, lead, judge and answer."""
        self._worker = worker
        self._store = await ControlStore.open(worker.connection, create=True)
        first, self._policies, watches = await asyncio.to_thread(read_files, self._settings)
        self._quality = await asyncio.to_thread(read_quality, self._settings)
        actor = f"controller/{worker.identity.instance}"
        await worker.controls.apply(await self._store.initialise(first, actor))
        await ensure_jobs(worker.connection.jetstream())
        kept = await EvaluationStore.open(worker.connection, worker.log)
        self._desk = EvaluationDesk(
            kept, self._evaluations, worker.connection, worker.log, worker.controls
        )
        await self._desk.recall()
        lease = await Lease.open(worker.connection, worker.identity.instance)
        self._leadership = Leadership(self._store, worker.controls, lease, worker.log)
        self._recorder = await self._open_recorder(worker)
        self._reconciler = Reconciler(
            self._store,
            worker.controls,
            lease,
            self._policies,
            self._convergence,
            worker.log,
            self._recorder.moved,
            self._evaluations,
        )
        self._treasury = await self._open_treasury(worker)
        self._watchtower = Watchtower(
            watches,
            worker.controls,
            lease,
            self._carry_out,
            self._recorder,
            worker.log,
            self._evaluations,
            self._settings.window_s,
            self._treasury.budgets,
        )
        await worker.connection.subscribe(subjects.SAMPLES, cb=self._sampled)
        await worker.connection.subscribe(subjects.APPLIED, cb=self._acknowledged)
        await worker.connection.subscribe(subjects.EVALUATION, cb=self._evaluated)
        await self._call_the_roll()
        worker.serve(
            Endpoint("status", subjects.STATUS, StatusRequest, self._status, steered=False)
        )
        worker.serve(Endpoint("command", subjects.COMMAND, Order, self._command, steered=False))
        worker.serve(
            Endpoint("evaluation", subjects.EVALUATE, Evaluation, self._desk.take, steered=False)
        )
        self._tasks = [
            asyncio.create_task(self._leadership.run()),
            asyncio.create_task(self._reconciler.run()),
            asyncio.create_task(self._watchtower.run()),
            asyncio.create_task(self._recorder.sign_forever()),
            asyncio.create_task(self._tidy()),
        ]

    async def unload(self, _worker: Worker) -> None:
        """Stop leading, so that another controller need not wait."""
        await end(*self._tasks)
        if self._leadership.lease.held:
            await self._treasury.keep()
        await self._leadership.lease.release()

    async def _open_recorder(self, worker: Worker) -> Recorder:
        ledger = await Ledger.open(worker.connection, worker.identity.instance)
        home = worker.deployment.home / "audit"
        key = await asyncio.to_thread(signing_key, home / "key")
        return Recorder(ledger, key, home / "checkpoints", worker.log)

    async def _open_treasury(self, worker: Worker) -> Treasury:
        objectives = await asyncio.to_thread(load_objectives, self._settings.policies)
        file = worker.deployment.home / "controller" / "budgets.json"
        treasury = Treasury(objectives, file, worker.log)
        await treasury.recall()
        return treasury

    async def _command(self, order: Order, _context: RequestContext) -> Outcome:
        return await self._carry_out(order)

    async def _carry_out(self, order: Order) -> Outcome:
        now = time.time()
        interlocks = Interlocks(self._fleet.status(now), self._policies, now, self._quality)
        try:
            outcome, controls = await execute(self._store, order, now=now, interlocks=interlocks)
        except TrimtabError as error:
            await self._recorder.refused(order, error, self._worker.controls.required.revision)
            raise
        if outcome.status == "dry_run":
            would = consequences(controls, order, self._fleet.status(now), now)
            outcome = msgspec.structs.replace(outcome, workers=would)
        await self._worker.controls.apply(controls)
        await self._recorder.ordered(order, outcome)
        return outcome

    async def _sampled(self, message: Msg) -> None:
        sample = _heard(message, Sample)
        if sample is None:
            return
        CONTROLLER_SAMPLES.labels("ok").inc()
        self._fleet.add(sample, time.time())
        self._reconciler.hear(sample)
        self._watchtower.hear(sample)
        self._treasury.hear(sample, time.time())

    async def _call_the_roll(self) -> None:
        """Ask who is there: their next samples are up to a second away, and orders may come before."""
        connection = self._worker.connection
        inbox = connection.new_inbox()
        await connection.subscribe(inbox, cb=self._present)
        await connection.publish(subjects.HEALTH, encode(HealthRequest()), reply=inbox)

    async def _present(self, message: Msg) -> None:
        sample = _heard(message, Sample)
        if sample is not None:  # what it counted so far comes again with its next sample
            self._fleet.add(msgspec.structs.replace(sample, endpoints=[]), time.time())

    async def _acknowledged(self, message: Msg) -> None:
        applied = _heard(message, Applied)
        if applied is not None:
            self._words.add(applied)

    async def _evaluated(self, message: Msg) -> None:
        evaluation = _heard(message, Evaluation)
        if evaluation is not None:
            self._desk.hear(evaluation)

    async def _status(self, request: StatusRequest, _context: RequestContext) -> StatusReply:
        controls, now = self._worker.controls.required, time.time()
        canary = controls.state.canary
        return status(
            Scene(
                controls=controls,
                workers=self._fleet.status(now),
                words=self._words,
                policy=self._policies.get(canary.policy) if canary else None,
                verdict=self._reconciler.verdict,
                leader=self._leadership.lease.holder,
                now=now,
                watches=self._watchtower.watches,
                every_alert=request.every_alert,
                budgets=self._treasury.status(now),
            )
        )

    def _convergence(self) -> Convergence:
        now = time.time()
        workers = self._fleet.status(now)
        return converged(self._worker.controls.required, workers, self._words, now)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_S)
            now = time.time()
            self._fleet.forget(now)
            await self._treasury.tidy(now, leads=self._leadership.lease.held)
            await self._desk.recall()
            CONTROLLER_WORKERS.clear()
            for worker in self._fleet.status(now):
                readiness = "silent" if worker.silent else worker.readiness.value
                CONTROLLER_WORKERS.labels(worker.service, readiness).inc()


def _heard(message: Msg, kind: type[Heard]) -> Heard | None:
    """Return what a worker said, or None when that is unreadable: nobody waits for an error, so it is counted."""
    try:
        return decode(kind, message.data)
    except InvalidMessage:
        CONTROLLER_SAMPLES.labels("invalid").inc()
        return None


def read_files(
    settings: ControllerSettings,
) -> tuple[Release, dict[str, Policy], tuple[Watch, ...]]:
    """Parse the first release, the ramp policies and the triggers.

    Raises:
        InvalidMessage: the release is not one.
        InvalidCommand: a policy or trigger is not one; names file and key.
    """
    try:
        release = msgspec.json.decode(settings.first_release.read_bytes(), type=Release)
    except msgspec.DecodeError as error:
        raise InvalidMessage("Release", str(error)) from None
    files = [settings.policies / name for name in WATCHED_FILES]
    watches = [
        watch
        for file in files
        if file.is_file()
        for watch in parse_triggers(file.read_bytes(), file.name, settings.profile)
    ]
    return release, load_policies(settings.policies), tuple(watches)


def build(deployment: DeploymentSettings, settings: ControllerSettings) -> Worker:
    """Return the controller's worker; connects to nothing."""
    controller = Controller(settings)
    return Worker(
        "controller",
        "Watches the fleet, carries out orders, leads",
        deployment,
        settings,
        controller.load,
        controller.unload,
    )
