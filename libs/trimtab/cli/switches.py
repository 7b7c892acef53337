"""`trimtab kill|restore|set|freeze`: what an operator throws, takes back and tunes."""

from typing import Annotated

import typer

from trimtab.cli import options, steering
from trimtab.cli.durations import seconds_of
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.steering import Manner, steer
from trimtab.contracts.control import SWITCH_VALUES, Switch
from trimtab.contracts.orders import FreezeCommand, KillCommand, RestoreCommand, SetCommand
from trimtab.control.tunables import ALIASES, TUNABLES

_SWITCH_HELP = (
    "mapper.mode=rules_only, reranker=off, retriever.impl=last_vec|mean|amn_v0|gru_v0 (or another query"
    " model that a retriever has loaded), pipeline=closed, release=NAME"
)
SwitchArgument = Annotated[str, typer.Argument(help=_SWITCH_HELP, metavar="SWITCH[=VALUE]")]
Tenant = Annotated[str, typer.Option("--tenant", help="Only for this tenant.", metavar="NAME")]
Detector = Annotated[
    str, typer.Option("--detector", help="Only for this detector.", metavar="NAME")
]


@guarded
def kill(
    switch: SwitchArgument,
    ttl: Annotated[
        str, typer.Option("--ttl", help="How long: 30m, 4h, 2d, or `forever`.", metavar="SPAN")
    ] = "4h",
    tenant: Tenant = "",
    detector: Detector = "",
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    expect_revision: steering.Expect = None,
    force: steering.Force = False,
    direct: steering.Direct = False,
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Throw a switch: every running worker obeys within milliseconds, controller or not."""
    chosen, value = switch_and_value(switch)
    ttl_s = None if ttl == "forever" else seconds_of(ttl)
    if ttl_s is None and not reason:
        raise Failure("a kill for ever needs a --reason", "say why, or give a --ttl")
    command = KillCommand(switch=chosen, value=value, tenant=tenant, detector=detector, ttl_s=ttl_s)
    steer(
        command,
        Manner(
            nats, nkey_seed, reason, actor, dry_run, expect_revision, force, direct, wait, as_json
        ),
    )


@guarded
def restore(
    switch: SwitchArgument,
    tenant: Tenant = "",
    detector: Detector = "",
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    expect_revision: steering.Expect = None,
    direct: steering.Direct = False,
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Take a switch back."""
    name, _, value = switch.partition("=")
    command = RestoreCommand(
        switch=_switch(name),
        value=value if name == Switch.RELEASE else "",
        tenant=tenant,
        detector=detector,
    )
    steer(
        command,
        Manner(
            nats, nkey_seed, reason, actor, dry_run, expect_revision, False, direct, wait, as_json
        ),
    )


@guarded
def set_value(
    name: Annotated[str, typer.Argument(help="For example retriever.nprobe.", metavar="SETTING")],
    value: Annotated[str, typer.Argument(help="A number, or `default`.", metavar="VALUE")],
    ttl: Annotated[
        str, typer.Option("--ttl", help="How long: 30m, 4h; until changed when left out.")
    ] = "",
    tenant: Tenant = "",
    detector: Detector = "",
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    expect_revision: steering.Expect = None,
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Change a bounded setting on running workers."""
    command = SetCommand(
        name=name,
        value=None if value == "default" else _value(name, value),
        tenant=tenant,
        detector=detector,
        ttl_s=seconds_of(ttl) if ttl else None,
    )
    manner = Manner(
        nats, nkey_seed, reason, actor, dry_run, expect_revision, wait_s=wait, as_json=as_json
    )
    steer(command, manner)


@guarded
def freeze(
    state: Annotated[str, typer.Argument(help="on or off", metavar="on|off")],
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Stop automation, or let it go on; kill and rollback pass through."""
    if state not in ("on", "off"):
        raise Failure(f"{state!r} is neither on nor off", "write `trimtab freeze on`")
    manner = Manner(nats, nkey_seed, reason, actor, dry_run, wait_s=wait, as_json=as_json)
    steer(FreezeCommand(on=state == "on"), manner)


def switch_and_value(text: str) -> tuple[Switch, str]:
    """Split ``switch=value``; a switch with one value needs none."""
    name, _, value = text.partition("=")
    switch = _switch(name)
    allowed = SWITCH_VALUES[switch]
    if value:
        return switch, value
    if allowed is None:
        raise Failure(f"{name} needs a value", f"write `trimtab kill {name}=NAME`")
    return switch, allowed[0]


def _switch(name: str) -> Switch:
    try:
        return Switch(name)
    except ValueError:
        known = ", ".join(switch.value for switch in Switch)
        raise Failure(f"unknown switch {name!r}", f"known switches: {known}") from None


def _value(name: str, text: str) -> float | str:
    """Return a number, or a word where the setting is a choice; what is no setting is refused later."""
    tunable = TUNABLES.get(ALIASES.get(name, name))
    return text if tunable is not None and text in tunable.words else _number(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Failure(f"{text!r} is not a number", "settings are numbers, or `default`") from None
