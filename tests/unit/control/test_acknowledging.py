"""A worker says what it obeys, once; and what ended, or began, by its own clock."""

from dataclasses import dataclass, field, replace

from trimtab.contracts.control import ApplyStatus
from trimtab.control.acknowledging import Acknowledger, Standing
from trimtab.telemetry import logs

BASE = Standing(3, "a", leased=False, stale=False)


@dataclass
class Saying(Acknowledger):
    """Keeps what it would send."""

    said: list[tuple[ApplyStatus, str]] = field(default_factory=list)

    async def _say(
        self,
        status: ApplyStatus,
        revision: int,
        effective_hash: str,
        reason: str = "",
        apply_ms: float = 0.0,
    ) -> None:
        self.said.append((status, reason))


def saying() -> Saying:
    return Saying("mapper", "m-0", logs.get("mapper", "m-0"))


async def test_a_lease_that_begins_is_not_announced_as_one_that_ended() -> None:
    worker = saying()
    await worker.obeyed(BASE, 0.1)

    await worker.watch(replace(BASE, hash="b", leased=True))
    await worker.watch(BASE)

    assert worker.said == [
        (ApplyStatus.APPLIED, ""),
        (ApplyStatus.APPLIED, "the canary's lease began"),
        (ApplyStatus.EXPIRED, "a kill, a setting or the canary's lease ended"),
    ]


async def test_what_stays_as_it_was_is_not_said_again() -> None:
    worker = saying()
    await worker.obeyed(BASE, 0.1)
    for _ in range(3):
        await worker.watch(BASE)

    assert len(worker.said) == 1


async def test_a_worker_without_heartbeats_says_once_that_it_is_stale_and_again_after_it_heard_one() -> (
    None
):
    worker = saying()
    await worker.obeyed(BASE, 0.1)
    silent = replace(BASE, stale=True)
    for now in (silent, silent, BASE, silent):
        await worker.watch(now)

    assert [status for status, _ in worker.said[1:]] == [ApplyStatus.STALE] * 2


async def test_a_refusal_leaves_what_was_announced_as_it_is() -> None:
    worker = saying()
    await worker.obeyed(BASE, 0.1)
    await worker.refused(4, "no such component", BASE)
    await worker.watch(BASE)

    assert worker.said[1:] == [(ApplyStatus.REJECTED, "no such component")]
