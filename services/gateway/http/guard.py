"""Who calls over HTTP, for which tenant, and how often: API keys and rate limits, before any work is done.

Off, it lets everybody in as the tenant that the request names: for a gateway that only its own machine reaches.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from starlette.requests import Request

from services.gateway.http.ratelimit import Allowance, Buckets
from trimtab.access.keyring import KeyStore
from trimtab.access.tokens import opens, parse
from trimtab.bus.ending import end
from trimtab.contracts import subjects
from trimtab.contracts.errors import (
    ForeignTenant,
    OutOfScope,
    RateLimited,
    TrimtabError,
    Unauthenticated,
)
from trimtab.contracts.keys import ApiKey, Scope
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import GATEWAY_REFUSED

TENANT = "X-Tenant-ID"
API_KEY = "X-API-Key"

SCOPES: Mapping[str, Scope] = {
    "search": Scope.SEARCH,
    "rerank": Scope.SEARCH,
    "feedback": Scope.SEARCH,
    "documents_get": Scope.SEARCH,
    "map": Scope.MAP,
    "map_batch": Scope.MAP,
    "embeddings": Scope.EMBED,
    "documents": Scope.WRITE,
    "documents_delete": Scope.WRITE,
}
"""Endpoint -> what a key must be allowed to do; an endpoint without an entry looks at the body, or at nothing."""

_READ_S = 2.0
"""How often the keys are read again, should the word of a change be lost."""

_SCHEME = "bearer "


@dataclass
class Visit:
    """One request at the door."""

    caller: str = ""
    """Id of the key; empty where none is asked for."""
    tenant: str = ""
    """The key's; empty: whom the request names."""
    scopes: frozenset[Scope] | None = None
    """What the key may do; None where none is asked for."""
    allowance: Allowance | None = None
    """What is left of the caller's minute; None without a limit."""

    @property
    def headers(self) -> Mapping[str, str]:
        """For the answer."""
        return self.allowance.headers if self.allowance else {}


@dataclass
class Guard:
    """Lets requests in, or not."""

    required: bool
    """Whether an API key must come."""
    per_minute: int
    """Requests a minute of a key that names no other number."""
    failures_per_minute: int
    """Refused keys a minute of one address: guessing is slow, and costs nobody else's share."""
    _keys: dict[str, ApiKey] = field(default_factory=dict)
    _buckets: Buckets = field(default_factory=Buckets)
    _task: asyncio.Task[None] | None = None

    async def start(self, connection: NatsClient, log: Logger) -> None:
        """Read the keys, and again whenever they change; raises BusUnavailable, InvalidMessage."""
        if not self.required:
            return
        changed = asyncio.Event()

        async def hear(_message: Msg) -> None:
            changed.set()

        await connection.subscribe(subjects.KEYS_CHANGED, cb=hear)
        await self._read(connection)
        self._task = asyncio.create_task(self._follow(connection, log, changed))

    async def stop(self) -> None:
        """Read no more."""
        await end(self._task)

    def know(self, keys: Sequence[ApiKey]) -> None:
        """Let these keys in from now on, and no others."""
        self._keys = {key.id: key for key in keys}

    def enter(self, request: Request, endpoint: str, visit: Visit) -> None:
        """Learn who calls and take one request from their minute; what is learnt stands in ``visit``.

        Raises:
            Unauthenticated: no key, or none that opens anything.
            OutOfScope: the key may not do this.
            ForeignTenant: the request names another tenant than the key's.
            RateLimited: the minute is used up.
        """
        if not self.required:
            return
        key = self._key(request, visit)
        visit.caller, visit.tenant = key.id, key.tenant
        self.charge(visit, 1)
        scope = SCOPES.get(endpoint)
        if scope is not None and scope not in key.scopes:
            raise self._refused("scope", OutOfScope(key.id, scope.value))
        visit.scopes = frozenset(key.scopes)
        if request.headers.get(TENANT, key.tenant) != key.tenant:
            raise self._refused("tenant", ForeignTenant(key.tenant))

    def charge(self, visit: Visit, cost: int) -> None:
        """Take so many more requests from the caller's minute; a batch costs what is in it. Raises RateLimited."""
        if not visit.caller or cost < 1:
            return
        key = self._keys.get(visit.caller)
        per_minute = (key.per_minute if key else None) or self.per_minute
        self._take(visit, f"key {visit.caller}", per_minute, cost)

    def allow(self, visit: Visit, scope: Scope) -> None:
        """Check a scope that only the body names. Raises OutOfScope."""
        if visit.scopes is not None and scope not in visit.scopes:
            raise self._refused("scope", OutOfScope(visit.caller, scope.value))

    def own(self, owners: Iterable[str | None], tenant: str) -> None:
        """Check that a key's tenant stores its own passages only. Raises ForeignTenant."""
        if self.required and any(owner not in (None, "", tenant) for owner in owners):
            raise self._refused("tenant", ForeignTenant(tenant))

    def _key(self, request: Request, visit: Visit) -> ApiKey:
        token = parse(_sent(request))
        key = self._keys.get(token.id) if token else None
        if token is not None and key is not None and opens(token, key, time.time()):
            return key
        address = request.client.host if request.client else ""
        self._take(visit, f"address {address}", self.failures_per_minute, 1)
        raise self._refused("key", Unauthenticated())

    def _take(self, visit: Visit, caller: str, per_minute: int, cost: int) -> None:
        allowance = self._buckets.take(caller, per_minute, cost, time.monotonic())
        visit.allowance = allowance
        if allowance.wait_s > 0:
            raise self._refused("rate", RateLimited(per_minute, max(1.0, allowance.wait_s)))

    def _refused(self, why: str, error: "Refusal") -> "Refusal":
        GATEWAY_REFUSED.labels(why).inc()
        return error

    async def _read(self, connection: NatsClient) -> None:
        store = await KeyStore.open(connection)
        self.know(await store.read() if store else ())

    async def _follow(self, connection: NatsClient, log: Logger, changed: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(_READ_S):
                    await changed.wait()
            except TimeoutError:
                pass
            changed.clear()
            try:
                await self._read(connection)
            except TrimtabError as error:  # what was known holds until they can be read again
                log.warning("keys_not_read", detail=error.detail)


Refusal = Unauthenticated | OutOfScope | ForeignTenant | RateLimited


def _sent(request: Request) -> str:
    """Return the key that a request carries, in either header."""
    bearer = request.headers.get("Authorization", "")
    if bearer.lower().startswith(_SCHEME):
        return bearer[len(_SCHEME) :].strip()
    return request.headers.get(API_KEY, "").strip()
