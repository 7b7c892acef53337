"""Whether a deployment runs and is whole: NATS, JetStream, streams and buckets, every service, one version."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient

from trimtab.cli.advised import advised
from trimtab.cli.checks.check import Check, failed, ok, skipped, warning
from trimtab.cli.link import reach
from trimtab.contracts import subjects
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.samples import Readiness, Sample
from trimtab.supervisor.options import SERVICES

_STARTS = "start the deployment with `trimtab up`"
_RESTART = "stop and start the deployment: `trimtab down`, `trimtab up`"
_SKIPPED = (
    "JetStream",
    "streams and buckets",
    *(f"service {s}" for s in SERVICES),
    "one version",
    "indexes",
)


async def deployment(url: str, nkey_seed: Path | None, version: str) -> list[Check]:
    """Return every check of what runs at ``url``; all but the first are skipped when nothing does."""
    try:
        async with reach(url, nkey_seed) as client:
            found = [ok("NATS", f"answers at {url}")]
            found.append(await jetstream(client.connection))
            found.append(await stores(client.connection))
            samples = await client.health(window_s=1.0)
            found.extend(service(name, samples) for name in SERVICES)
            found.append(one_version(samples, version))
            found.append(indexes(samples))
            return found
    except BusUnavailable:
        unreachable = failed("NATS", f"does not answer at {url}", _STARTS)
        return [unreachable, *(skipped(name, "NATS does not answer") for name in _SKIPPED)]


async def jetstream(connection: NatsClient) -> Check:
    """Check that JetStream is on."""
    try:
        info = await connection.jetstream(timeout=2).account_info()
    except (nats.errors.Error, nats.js.errors.Error) as error:
        remedy = "use the server configuration in deploy/nats, which turns it on"
        return failed("JetStream", f"does not answer: {type(error).__name__}", remedy)
    return ok("JetStream", f"{info.streams} streams, {info.storage / 1e6:.0f} MB on disk")


async def stores(connection: NatsClient) -> Check:
    """Check that the stream of passages and the two buckets exist."""
    js = connection.jetstream(timeout=2)
    looks = {
        subjects.DOCS_STREAM: js.stream_info(subjects.DOCS_STREAM),
        subjects.CONTROL_BUCKET: js.key_value(subjects.CONTROL_BUCKET),
        subjects.ARTIFACT_BUCKET: js.object_store(subjects.ARTIFACT_BUCKET),
    }
    missing = []
    for name, look in looks.items():
        try:
            await look
        except (nats.errors.Error, nats.js.errors.Error):
            missing.append(name)
    if missing:
        remedy = "a controller, a gateway and an encoder make them at their start; " + _RESTART
        return failed("streams and buckets", f"missing: {', '.join(missing)}", remedy)
    return ok("streams and buckets", ", ".join(looks))


def service(name: str, samples: Sequence[Sample]) -> Check:
    """Check that a service has a worker that would take requests."""
    title = f"service {name}"
    mine = [sample for sample in samples if sample.service == name]
    ready = [sample for sample in mine if sample.readiness is Readiness.READY]
    degraded = [sample for sample in mine if sample.readiness is Readiness.DEGRADED]
    if not ready and not degraded:
        found = "no worker answers" if not mine else "; ".join(_feelings(mine))
        remedy = f"see its log (`trimtab up --json` names it), or run `python -m services.{name}`"
        return failed(title, found, remedy)
    if degraded:
        remedy = "its log says more; the others are served meanwhile"
        return warning(title, "; ".join(_feelings(degraded)), remedy)
    components = sorted({component for sample in ready for component in sample.components})
    return ok(title, f"{len(ready)} ready" + (f": {', '.join(components)}" if components else ""))


def _feelings(samples: Sequence[Sample]) -> Iterator[str]:
    for sample in samples:
        yield f"{sample.instance} {sample.readiness.value}" + (
            f" ({sample.reason})" if sample.reason else ""
        )


def one_version(samples: Sequence[Sample], version: str) -> Check:
    """Check that every worker runs this command's version, and a component means one content."""
    name = "one version"
    others = sorted({s.version for s in samples} - {version})
    if others:
        return failed(name, f"here {version}, workers run {', '.join(others)}", _RESTART)
    contents: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        for component, content_hash in sample.components.items():
            contents[component].add(content_hash)
    split = sorted(component for component, hashes in contents.items() if len(hashes) > 1)
    if split:
        remedy = "the same name must mean the same bytes everywhere; restart the odd worker"
        return failed(name, f"differs between workers: {', '.join(split)}", remedy)
    return ok(name, f"{len(samples)} workers run {version}")


def indexes(samples: Sequence[Sample]) -> Check:
    """Warn of an index that serves and that its retriever would have built anew."""
    found = advised(sample.facts for sample in samples)
    if not found:
        return ok("indexes", "none need be built anew")
    return warning("indexes", "; ".join(found), "run the command that the advice names")
