"""Which processes a deployment consists of. Pure: options in, specs out."""

import os
import sys
from pathlib import Path

from trimtab.supervisor.home import Home
from trimtab.supervisor.options import SERVICES, UpOptions
from trimtab.supervisor.ports import HOST
from trimtab.supervisor.profile import COMPONENTS
from trimtab.supervisor.spec import ProcessSpec


def urls(options: UpOptions) -> tuple[str, str]:
    """Return where NATS and the gateway listen; the ports must be decided."""
    return f"nats://{HOST}:{options.nats_port}", f"http://{HOST}:{options.http_port}"


def services(options: UpOptions, home: Home, release: Path) -> list[ProcessSpec]:
    """Return every service process; the ports and the encoder's address must be decided."""
    return [
        _service(options, home, name, number, _extras(options, name, release))
        for name in SERVICES
        for number in range(1, options.count(name) + 1)
    ]


def _service(
    options: UpOptions, home: Home, name: str, number: int, extras: dict[str, str]
) -> ProcessSpec:
    instance = f"{name}-{number}"
    return ProcessSpec(
        name=instance,
        tier="edge" if name == "gateway" else "worker",
        arguments=(sys.executable, "-m", f"services.{name}"),
        environment={
            "TRIMTAB_NATS_URL": urls(options)[0],
            "TRIMTAB_HOME": str(home.root),
            "TRIMTAB_PARENT_PID": str(os.getpid()),
            f"{name.upper()}_INSTANCE": instance,
            **extras,
        },
    )


def _extras(options: UpOptions, name: str, release: Path) -> dict[str, str]:
    match name:
        case "gateway":
            return {"GATEWAY_API_HOST": HOST, "GATEWAY_API_PORT": str(options.http_port)}
        case "controller":
            return {"CONTROLLER_FIRST_RELEASE": str(release)}
        case "encoder":
            return _encoder(options)
        case _:
            return {}


def _encoder(options: UpOptions) -> dict[str, str]:
    chosen = {"ENCODER_COMPONENT": COMPONENTS[options.encoder]}
    if options.encoder == "vllm":
        chosen["ENCODER_VLLM_URL"] = options.encoder_url
        if options.encoder_tokenizer:
            chosen["ENCODER_VLLM_TOKENIZER"] = options.encoder_tokenizer
    return chosen
