"""Which deployment a command talks to."""

import os
from collections.abc import Mapping

from trimtab.bus.connection import DEFAULT_URL
from trimtab.supervisor import state
from trimtab.supervisor.home import Home

VARIABLE = "TRIMTAB_NATS_URL"


def nats_url(option: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return ``--nats``, else the variable, else what runs in this home, else the default address."""
    if option:
        return option
    if environment.get(VARIABLE):
        return environment[VARIABLE]
    running = state.running(Home.find(environment).state)
    return running.nats_url if running is not None else DEFAULT_URL
