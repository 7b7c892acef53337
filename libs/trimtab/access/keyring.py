"""The ring of API keys in a KV bucket: read whole, written by compare-and-set."""

from collections.abc import Callable
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.kv import KeyValue

from trimtab.contracts import subjects
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.keys import ApiKey, Keyring, KeyringChanged
from trimtab.contracts.message import decode, encode

_TIMEOUT_S = 5.0
_TRIES = 5

Change = Callable[[list[ApiKey]], list[ApiKey]]
"""The keys before a write -> after it; called again when somebody else wrote first."""


@dataclass(frozen=True)
class KeyStore:
    """The bucket, opened."""

    bucket: KeyValue
    """``trimtab_keys``."""
    connection: NatsClient
    """To tell the gateways of a change."""

    @classmethod
    async def open(cls, connection: NatsClient, *, create: bool = False) -> "KeyStore | None":
        """Open the bucket; None when nobody ever made a key and ``create`` is not asked for.

        Raises:
            BusUnavailable: JetStream does not answer.
        """
        js = connection.jetstream(timeout=_TIMEOUT_S)
        try:
            return cls(await js.key_value(subjects.KEYS_BUCKET), connection)
        except nats.js.errors.BucketNotFoundError:
            if not create:
                return None
            made = await js.create_key_value(bucket=subjects.KEYS_BUCKET, history=1)
            return cls(made, connection)
        except (nats.errors.Error, nats.js.errors.Error) as error:
            raise BusUnavailable(f"the bucket of keys ({type(error).__name__})") from error

    async def read(self) -> list[ApiKey]:
        """Return every key, the oldest first; raises BusUnavailable."""
        return (await self._read())[0]

    async def change(self, change: Change, now: float) -> list[ApiKey]:
        """Write what ``change`` makes of the keys that are not expired, and tell the gateways; return it.

        Raises:
            BusUnavailable: JetStream does not answer, or others wrote first again and again.
        """
        for _ in range(_TRIES):
            known, revision = await self._read()
            alive = [key for key in known if key.expires_at is None or key.expires_at > now]
            wanted = change(alive)
            try:
                await self.bucket.update(
                    subjects.KEYS_KEY, encode(Keyring(keys=wanted)), last=revision
                )
            except nats.js.errors.KeyWrongLastSequenceError:
                continue
            except (nats.errors.Error, nats.js.errors.Error) as error:
                raise BusUnavailable(f"the bucket of keys ({type(error).__name__})") from error
            await self.connection.publish(subjects.KEYS_CHANGED, encode(KeyringChanged()))
            await self.connection.flush()
            return wanted
        raise BusUnavailable("the bucket of keys: others wrote first; try again")

    async def _read(self) -> tuple[list[ApiKey], int]:
        try:
            entry = await self.bucket.get(subjects.KEYS_KEY)
        except nats.js.errors.KeyNotFoundError:
            return [], 0
        except (nats.errors.Error, nats.js.errors.Error) as error:
            raise BusUnavailable(f"the bucket of keys ({type(error).__name__})") from error
        return decode(Keyring, entry.value or b"").keys, entry.revision or 0
