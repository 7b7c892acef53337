"""From what the user asked for to what will run: ports decided, configuration written, processes listed."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from trimtab.contracts.errors import BusUnavailable
from trimtab.supervisor import nats_server, plan, ports, profile, vllm
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import UpOptions
from trimtab.supervisor.spec import ProcessSpec
from trimtab.supervisor.supervisor import StartFailed


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that a start needs to know."""

    options: UpOptions
    """With ports and addresses decided."""
    specs: tuple[ProcessSpec, ...]
    """Every process."""

    @property
    def workers(self) -> int:
        """How many processes answer the health subject."""
        return sum(spec.tier in ("worker", "edge") for spec in self.specs)


def assemble(options: UpOptions, home: Home) -> Assembly:
    """Decide what is open and write what the processes read.

    Raises:
        StartFailed: a port is taken, or a program or package is missing.
    """
    decided = with_ports(options)
    engine: list[ProcessSpec] = []
    try:
        if decided.encoder == "vllm" and not decided.encoder_url:
            port = ports.free_port()
            engine = [vllm.spec(Path(decided.vllm_python or vllm.DEFAULT_PYTHON), port)]
            decided = msgspec.structs.replace(
                decided,
                encoder_url=f"http://{ports.HOST}:{port}",
                encoder_tokenizer=str(vllm.tokenizer()),
            )
        bus = nats_server.spec(home, decided.nats_port)
        release = profile.first_release(decided.encoder, home)
    except (BusUnavailable, ValueError, vllm.VllmMissing, profile.NoShippedRelease) as error:
        raise StartFailed(str(error), "`trimtab doctor` checks the installation") from error
    return Assembly(decided, (bus, *engine, *plan.services(decided, home, release)))


def with_ports(options: UpOptions) -> UpOptions:
    """Return the options with free ports in place of 0.

    Raises:
        StartFailed: a chosen port is taken; says by whom where that can be seen.
    """
    return msgspec.structs.replace(
        options,
        nats_port=_port(options.nats_port, "NATS", "--nats-port"),
        http_port=_port(options.http_port, "the HTTP gateway", "--http-port"),
    )


def _port(port: int, what: str, option: str) -> int:
    if port == 0:
        return ports.free_port()
    if not ports.is_free(port):
        by = ports.holder(port) or "another process"
        raise StartFailed(
            f"port {port} for {what} is taken by {by}",
            f"stop that one, or choose another port ({option} 0 takes a free one)",
        )
    return port
