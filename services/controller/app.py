"""Wiring of the controller: samples in, status out, the first control state written."""

import asyncio
import time

import msgspec
from nats.aio.msg import Msg

from services.controller.fleet import Fleet
from services.controller.settings import ControllerSettings
from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import decode
from trimtab.contracts.samples import Sample, StatusReply, StatusRequest
from trimtab.control.state import StateReference, initialise, open_bucket
from trimtab.telemetry.metrics import CONTROLLER_SAMPLES, CONTROLLER_WORKERS
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings

_TIDY_S = 5.0


class Controller:
    """Reads what workers say of themselves and answers operators."""

    def __init__(self, settings: ControllerSettings) -> None:
        self._settings = settings
        self._fleet = Fleet(settings.window_s, settings.forget_after_s)
        self._state = StateReference()
        self._tidying: asyncio.Task[None] | None = None

    async def load(self, worker: Worker) -> None:
        """Write the first state if there is none, then listen."""
        bucket = await open_bucket(worker.connection)
        first = await asyncio.to_thread(read_release, self._settings)
        self._state.apply(await initialise(bucket, first, f"controller/{worker.identity.instance}"))
        await self._state.start(worker.connection)
        worker.link.on_reconnect.append(self._state.refresh)
        worker.identity.revision = self._state.current.revision
        await worker.connection.subscribe(subjects.SAMPLES, cb=self._sampled)
        worker.serve(Endpoint("status", subjects.STATUS, StatusRequest, self._status))
        self._tidying = asyncio.create_task(self._tidy())

    async def unload(self, _worker: Worker) -> None:
        """Stop the background reading."""
        await self._state.stop()
        if self._tidying is not None:
            self._tidying.cancel()

    async def _sampled(self, message: Msg) -> None:
        try:
            self._fleet.add(decode(Sample, message.data))
        except InvalidMessage:
            CONTROLLER_SAMPLES.labels("invalid").inc()
        else:
            CONTROLLER_SAMPLES.labels("ok").inc()

    async def _status(self, _request: StatusRequest, _context: RequestContext) -> StatusReply:
        controls, now = self._state.current, time.time()
        return StatusReply(
            at=now,
            workers=self._fleet.status(now),
            revision=controls.revision,
            release=controls.release.name,
        )

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_S)
            now = time.time()
            self._fleet.forget(now)
            CONTROLLER_WORKERS.clear()
            for status in self._fleet.status(now):
                readiness = "silent" if status.silent else status.readiness.value
                CONTROLLER_WORKERS.labels(status.service, readiness).inc()


def read_release(settings: ControllerSettings) -> Release:
    """Parse the first release's manifest.

    Raises:
        InvalidMessage: it is not a release.
    """
    try:
        return msgspec.json.decode(settings.first_release.read_bytes(), type=Release)
    except msgspec.DecodeError as error:
        raise InvalidMessage("Release", str(error)) from None


def build(deployment: DeploymentSettings, settings: ControllerSettings) -> Worker:
    """Return the controller's worker; connects to nothing."""
    controller = Controller(settings)
    return Worker(
        "controller",
        "Watches the fleet and answers operators",
        deployment,
        settings,
        controller.load,
        controller.unload,
    )
