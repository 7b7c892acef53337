"""API keys over a real bus: made, used, rotated with an overlap, revoked; the tenant is the key's, the secret nowhere."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.fleet import Fleet
from trimtab.client import Client

pytestmark = pytest.mark.integration

_TRIMTAB = Path(sys.executable).with_name("trimtab").as_posix()
BODY = {"detector": "openai-moderation", "output": "violence"}


@pytest_asyncio.fixture
async def api(fleet: Fleet) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP face of a gateway that asks for keys, with a mapper behind it."""
    await fleet.start("controller", "encoder", "mapper")
    fleet.spawn("gateway", auth="required", requests_per_minute="5")
    await fleet.ready()
    async with Client.connect(fleet.url) as client:
        [gateway] = [s for s in await client.health() if s.service == "gateway"]
    async with httpx.AsyncClient(base_url=str(gateway.facts["api_url"])) as http:
        yield http


def keys(fleet: Fleet, *words: str) -> dict[str, object]:
    done = subprocess.run(
        [_TRIMTAB, "keys", *words, "--nats", fleet.url, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRIMTAB_HOME": str(fleet.home)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


async def mapped(
    api: httpx.AsyncClient, key: object, until: int | None = None, tenant: str = ""
) -> httpx.Response:
    """Map with a key; ``until``: again and again until the status is that, for gateways hear within moments."""
    headers = {"Authorization": f"Bearer {key}"} | ({"X-Tenant-ID": tenant} if tenant else {})
    async with asyncio.timeout(30):
        while True:
            answer = await api.post("/v1/map", json=BODY, headers=headers)
            if until is None or answer.status_code == until:
                return answer
            await asyncio.sleep(0.05)


def written(folder: Path) -> Iterator[bytes]:
    """Yield what stands in every file below a folder; the broker still works in its own."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            yield path.read_bytes()


async def test_a_key_is_made_used_rotated_and_revoked(fleet: Fleet, api: httpx.AsyncClient) -> None:
    nobody = await api.post("/v1/map", json=BODY)
    made = keys(fleet, "create", "--scope", "map", "--tenant", "acme", "--per-minute", "1000")
    good = await mapped(api, made["key"], until=200)
    foreign = await mapped(api, made["key"], tenant="other")
    search = await api.post(
        "/v1/search", json={"text": "x"}, headers={"X-API-Key": str(made["key"])}
    )
    new = keys(fleet, "rotate", str(made["id"]), "--overlap", "1h")
    both = [(await mapped(api, key, until=200)).status_code for key in (new["key"], made["key"])]
    keys(fleet, "revoke", str(made["id"]))
    revoked = await mapped(api, made["key"], until=401)
    still = await mapped(api, new["key"])

    assert nobody.status_code == 401
    assert nobody.headers["WWW-Authenticate"] == "Bearer"
    assert nobody.json()["code"] == "unauthenticated"
    assert good.headers["RateLimit-Limit"] == "1000;w=60"
    assert (foreign.status_code, foreign.json()["title"]) == (403, "ForeignTenant")
    assert (search.status_code, search.json()["title"]) == (403, "OutOfScope")
    assert both == [200, 200]
    assert (revoked.status_code, still.status_code) == (401, 200)
    await fleet.stop("gateway", "mapper", "encoder", "controller")
    kept = b"".join(written(fleet.folder))
    for key in (made["key"], new["key"]):
        _, _, secret = str(key).split("_", 2)  # a secret may hold underscores itself
        assert secret.encode() not in kept, "a secret lies on some disk"


async def test_a_minute_that_is_used_up_says_when_to_come_back(
    fleet: Fleet, api: httpx.AsyncClient
) -> None:
    made = keys(fleet, "create", "--scope", "map")
    first = await mapped(api, made["key"], until=200)
    last = await mapped(api, made["key"], until=429)
    batch = keys(fleet, "create", "--scope", "map")
    await mapped(api, batch["key"], until=200)
    large = await api.post(
        "/v1/map/batch", json={"requests": [BODY] * 5}, headers={"X-API-Key": str(batch["key"])}
    )

    assert first.headers["RateLimit-Limit"] == "5;w=60"
    assert int(last.headers["Retry-After"]) >= 1
    assert last.json()["code"] == "rate_limited"
    assert last.headers["RateLimit-Remaining"] == "0"
    assert large.status_code == 429
