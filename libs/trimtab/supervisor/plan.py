"""Which processes a deployment consists of. Pure: options in, specs out."""

import os
import sys

from trimtab.supervisor.home import Home
from trimtab.supervisor.options import SERVICES, UpOptions
from trimtab.supervisor.ports import HOST
from trimtab.supervisor.spec import ProcessSpec


def urls(options: UpOptions) -> tuple[str, str]:
    """Return where NATS and the gateway listen; the ports must be decided."""
    return f"nats://{HOST}:{options.nats_port}", f"http://{HOST}:{options.http_port}"


def services(options: UpOptions, home: Home) -> list[ProcessSpec]:
    """Return every service process; the ports must be decided."""
    return [
        _service(options, home, name, number)
        for name in SERVICES
        for number in range(1, options.count(name) + 1)
    ]


def _service(options: UpOptions, home: Home, name: str, number: int) -> ProcessSpec:
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
            **_extras(options, name),
        },
    )


def _extras(options: UpOptions, name: str) -> dict[str, str]:
    if name == "gateway":
        return {"GATEWAY_API_HOST": HOST, "GATEWAY_API_PORT": str(options.http_port)}
    return {}
