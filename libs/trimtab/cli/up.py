"""`trimtab up`: the whole deployment on this machine, supervised."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from trimtab.cli import options
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.output import print_json, stderr
from trimtab.cli.progress import StartDisplay
from trimtab.corpus.modules import StandardLibrary
from trimtab.supervisor import daemon, deployment, lock, state
from trimtab.supervisor.events import AnyEvent, Failed, Up
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import Encoder, UpOptions, parse_workers
from trimtab.supervisor.state import UpState
from trimtab.supervisor.supervisor import StartFailed
from trimtab.supervisor.vllm import DEFAULT_PYTHON


@guarded
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once everything is ready.")
    ] = False,
    nats_port: Annotated[
        int, typer.Option("--nats-port", min=0, max=65535, help="0 takes a free one.")
    ] = 4222,
    http_port: Annotated[
        int, typer.Option("--http-port", min=0, max=65535, help="0 takes a free one.")
    ] = 8080,
    workers: Annotated[
        list[str] | None,
        typer.Option("--workers", metavar="SERVICE=N", help="Processes of a service; repeatable."),
    ] = None,
    corpus: Annotated[
        Literal["stdlib", "none"],
        typer.Option("--corpus", help="What to ingest when it is not there yet."),
    ] = "stdlib",
    corpus_modules: Annotated[
        str,
        typer.Option(
            "--corpus-modules", metavar="A,B", help="Only these standard library modules."
        ),
    ] = "",
    encoder: Annotated[
        Encoder,
        typer.Option("--encoder", help="Profile of the encoder; vllm needs its own environment."),
    ] = "int8",
    encoder_url: Annotated[
        str, typer.Option("--encoder-url", metavar="URL", help="A vLLM server that already runs.")
    ] = "",
    vllm_python: Annotated[
        Path,
        typer.Option("--vllm-python", help="Interpreter of the environment that holds vLLM."),
    ] = DEFAULT_PYTHON,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1.0, help="Seconds until everything must be ready.")
    ] = 180.0,
    as_json: options.Json = False,
) -> None:
    """Start NATS and every service, ingest the shipped corpus once, and keep them running.

    Ctrl-C or `trimtab down` stops everything, requests in flight first. State and logs are kept in
    $TRIMTAB_HOME, else ./var in a checkout, else ~/.trimtab.
    """
    home = Home.find()
    running = state.running(home.state)
    if running is not None:
        _already(running, as_json)
        return
    wanted = UpOptions(
        home=str(home.root),
        nats_port=nats_port,
        http_port=http_port,
        workers=_counts(workers or []),
        corpus=corpus,
        corpus_modules=_modules(corpus_modules),
        encoder=encoder,
        encoder_url=encoder_url.rstrip("/"),
        vllm_python=str(vllm_python.absolute()),
        timeout_s=timeout,
    )
    if detach:
        _detach(wanted, as_json)
    else:
        _stay(wanted, as_json)


def _counts(values: list[str]) -> dict[str, int]:
    try:
        return parse_workers(values)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--workers") from None


def _modules(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    known = StandardLibrary().names() if names else []
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(
            f"no public standard library module: {', '.join(unknown)}",
            param_hint="--corpus-modules",
        )
    return names


def _stay(wanted: UpOptions, as_json: bool) -> None:
    display = StartDisplay(stderr())

    def sink(event: AnyEvent) -> None:
        display.show(event)
        if isinstance(event, Up):
            _announce(event, wanted, as_json, detached=False)

    try:
        asyncio.run(deployment.run(wanted, sink))
    except StartFailed as error:
        raise Failure(error.problem, error.remedy, error="StartFailed") from None
    except lock.AlreadyRunning:
        raise Failure(
            f"another `trimtab up` is busy in {wanted.home}", "wait for it, or see `trimtab status`"
        ) from None
    finally:
        display.close()
    stderr().print("everything is stopped")


def _detach(wanted: UpOptions, as_json: bool) -> None:
    try:
        detached = daemon.spawn(wanted)
    except OSError as error:
        raise Failure(
            f"{wanted.home} cannot be written: {error.strerror}",
            "name another folder in TRIMTAB_HOME",
        ) from None
    display = StartDisplay(stderr())
    try:
        for event in detached.events():
            display.show(event)
            if isinstance(event, Failed):
                raise Failure(event.problem, event.remedy, error="StartFailed")
            if isinstance(event, Up):
                _announce(event, wanted, as_json, detached=True)
    except KeyboardInterrupt:
        display.close()
        stderr().print("interrupted: stopping what was started")
        detached.stop()
        raise typer.Exit(ExitCode.FAILED) from None
    finally:
        display.close()


def _announce(event: Up, wanted: UpOptions, as_json: bool, *, detached: bool) -> None:
    if as_json:
        print_json(_shape(state.read(Home(Path(wanted.home)).state), already=False))
        return
    console = Console(highlight=False)
    console.print(
        f"\nup in {event.took_s:.1f} s; NATS at {event.nats_url}, HTTP at {event.http_url}"
    )
    console.print("try next:")
    if event.corpus != "none":
        console.print('  trimtab search "copy a whole directory tree"')
    console.print('  trimtab map --detector openai-moderation "hate/threatening"')
    console.print("  trimtab ingest FILE.jsonl --collection docs")
    console.print("  trimtab status --watch")
    console.print(f"  open {event.http_url}/docs")
    console.print("stop with: trimtab down" if detached else "stop with: Ctrl-C or trimtab down")


def _already(running: UpState, as_json: bool) -> None:
    if as_json:
        print_json(_shape(running, already=True))
        return
    how = "is running already" if running.ready else "is starting already"
    stderr().print(
        f"trimtab {how} (pid {running.supervisor.pid}): NATS at {running.nats_url}, "
        f"HTTP at {running.http_url}; `trimtab down` stops it",
        soft_wrap=True,
    )


def _shape(found: UpState | None, *, already: bool) -> dict[str, object]:
    if found is None:
        return {"already_running": already}
    return {
        "already_running": already,
        "ready": found.ready,
        "nats_url": found.nats_url,
        "http_url": found.http_url,
        "home": found.home,
        "pid": found.supervisor.pid,
        "processes": [
            {"name": p.name, "pid": p.process.pid, "log": p.log, "restarts": p.restarts}
            for p in found.processes
        ],
    }
