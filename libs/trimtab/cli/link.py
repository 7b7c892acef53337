"""How a command reaches the deployment: at once, or told at once that nobody listens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from trimtab.client import Client
from trimtab.contracts.errors import BusUnavailable

_DEFAULT_PORT = 4222


@asynccontextmanager
async def reach(url: str, nkey_seed: Path | None) -> AsyncIterator[Client]:
    """Connect a client for the length of a ``with`` block.

    The client would go on trying for its whole timeout; a person should not wait for a refused port.

    Raises:
        BusUnavailable: nobody listens there, or it is no NATS server.
    """
    await _knock(url)
    async with Client.connect(url, name="cli", nkey_seed=nkey_seed) as client:
        yield client


async def _knock(url: str) -> None:
    try:
        address = urlsplit(url if "//" in url else f"nats://{url}")
        host, port = address.hostname or "", address.port or _DEFAULT_PORT
        _, writer = await asyncio.open_connection(host, port)
    except ValueError:
        raise BusUnavailable(f"{url} is no address; write nats://HOST:PORT") from None
    except OSError:
        raise BusUnavailable(
            f"NATS does not answer at {url}; start the deployment with `trimtab up`, "
            "or see `trimtab doctor`"
        ) from None
    writer.close()
