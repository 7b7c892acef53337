"""`trimtab history`, `trimtab wait`, `trimtab audit tail|verify|export`: what was done, and by whom."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from trimtab.audit.chain import verify
from trimtab.audit.ledger import Ledger, read_checkpoints
from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.cli.steering import reached, show_convergence
from trimtab.contracts.audit import AuditEntry
from trimtab.contracts.control import Convergence
from trimtab.supervisor.home import Home

audit = typer.Typer(help="The audit: every command, refusal, verdict and automatic action.")
Count = Annotated[int, typer.Option("--count", "-n", help="Newest entries.", min=1)]


@guarded
def history(
    count: Count = 20,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Show the newest control changes: who, what, why, what changed."""
    entries = [e for e in _entries(nats, nkey_seed) if e.outcome not in ("dry_run", "unchanged")]
    _print(entries[-count:], as_json=as_json)


@audit.command("tail")
@guarded
def tail(
    count: Count = 20,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Show the newest entries, refusals and dry runs included."""
    _print(_entries(nats, nkey_seed)[-count:], as_json=as_json)


@audit.command("verify")
@guarded
def verify_audit(
    checkpoints: Annotated[
        Path | None,
        typer.Option("--checkpoints", help="File kept outside the stream; default: the home's."),
    ] = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Check the hash chain and the signed checkpoints; ends 1 when anything is wrong."""
    if checkpoints is not None and not checkpoints.is_file():
        # Without it a truncated audit would pass: nobody who names a file means that.
        problem = f"{checkpoints} is no file"
        raise Failure(problem, "name the file with the checkpoints", ExitCode.USAGE)
    points = read_checkpoints(checkpoints or Home.find().root / "audit" / "checkpoints")
    entries = _entries(nats, nkey_seed)
    faults = verify(entries, points)
    if as_json:
        rows = [{"number": f.number, "problem": f.problem} for f in faults]
        print_json({"entries": len(entries), "checkpoints": len(points), "faults": rows})
    else:
        stdout().print(f"{len(entries)} entries, {len(points)} checkpoints, {len(faults)} faults")
        for fault in faults:
            stdout().print(f"entry {fault.number}: {fault.problem}", style="red")
    if faults:
        raise typer.Exit(ExitCode.FAILED)


@audit.command("export")
@guarded
def export(
    file: Annotated[Path, typer.Argument(help="Where to: one JSON object per line.")],
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Write every entry as a line of JSON."""
    entries = _entries(nats, nkey_seed)
    file.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
    if as_json:
        print_json({"entries": len(entries), "file": str(file)})
    else:
        stdout().print(f"{len(entries)} entries in {file}", markup=False)


@guarded
def wait(
    revision: Annotated[
        int, typer.Option("--revision", help="Which; default: the newest.", min=0)
    ] = 0,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds.", min=0.1)] = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Wait until every worker obeys; ends 1 when one does not."""

    async def ask() -> Convergence:
        async with reach(nats_url(nats), nkey_seed) as client:
            return await reached(client, revision, timeout)

    found = asyncio.run(ask())
    if as_json:
        print_json(found)
    else:
        show_convergence(found)
    if found.status != "converged":
        raise typer.Exit(ExitCode.FAILED)


def _entries(nats: str | None, nkey_seed: Path | None) -> list[AuditEntry]:
    async def read() -> list[AuditEntry]:
        async with reach(nats_url(nats), nkey_seed) as client:
            ledger = await Ledger.open(client.connection, "cli")
            return [entry async for entry in ledger.entries()]

    return asyncio.run(read())


def _print(entries: list[AuditEntry], *, as_json: bool) -> None:
    if as_json:
        print_json(entries)
        return
    for entry in entries:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
        head = f"{entry.number:>5}  {at}  r{entry.revision}  {entry.actor}  {entry.action}"
        reason = f"  {entry.reason}" if entry.reason else ""
        stdout().print(f"{head}  {entry.outcome}{reason}", markup=False, soft_wrap=True)
        for line in entry.diff:
            stdout().print(f"         {line}", markup=False, soft_wrap=True, style="dim")
