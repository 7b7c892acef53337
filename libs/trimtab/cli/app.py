"""The `trimtab` command: one file per subcommand, joined here and nowhere else."""

import typer

from trimtab.cli import (
    analyze,
    doctor,
    documents,
    down,
    explain,
    ingest,
    keys,
    map,
    records,
    releases,
    search,
    status,
    switches,
    up,
    verify,
    version,
)
from trimtab.cli.evaluate import group as evaluate
from trimtab.cli.incident import group as incident
from trimtab.cli.index import group as index
from trimtab.cli.jobs import group as jobs
from trimtab.cli.mapper import group as mapper

EPILOG = (
    "Exit codes: 0 done; 1 done in part, refused or unhealthy; 2 wrong command line; "
    "3 no deployment answers; 4 judged, but inconclusive."
)


def build() -> typer.Typer:
    """Return the application."""
    app = typer.Typer(
        name="trimtab",
        help="A retrieval-and-mapping pipeline on NATS that is steered while it runs.",
        epilog=EPILOG,
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        rich_markup_mode=None,
    )
    app.command("up")(up.up)
    app.command("down")(down.down)
    app.command("status")(status.status)
    app.command("doctor")(doctor.doctor)
    app.command("ingest")(ingest.ingest)
    app.command("search")(search.search)
    app.command("explain")(explain.explain)
    app.command("map")(map.map_output)
    app.command("version")(version.show_version)
    app.command("kill")(switches.kill)
    app.command("restore")(switches.restore)
    app.command("set")(switches.set_value)
    app.command("freeze")(switches.freeze)
    app.command("rollback")(releases.rollback)
    app.command("analyze")(analyze.analyze)
    app.command("history")(records.history)
    app.command("wait")(records.wait)
    app.command("verify")(verify.verify)
    app.add_typer(releases.release, name="release")
    app.add_typer(releases.canary, name="canary")
    app.add_typer(records.audit, name="audit")
    app.add_typer(documents.build(), name="documents")
    app.add_typer(keys.keys, name="keys")
    app.add_typer(mapper.build(), name="mapper")
    app.add_typer(index.build(), name="index")
    app.add_typer(evaluate.build(), name="eval")
    app.add_typer(incident.build(), name="incident")
    app.add_typer(jobs.build(), name="jobs")
    app.add_typer(jobs.build_dead(), name="dlq")
    return app


def main() -> None:
    """Entry point of the `trimtab` script."""
    build()()
