"""`trimtab mapper …`: what the mapper's runbook does, acting on running workers, and labels of one's own."""

import typer

from trimtab.cli.mapper import (
    engine,
    fallbacks,
    frameworks,
    migration,
    quality,
    rules,
    runtime,
    training,
    versions,
)


def build() -> typer.Typer:
    """Return the group."""
    group = typer.Typer(
        help="The mapper: its mode, its versions, and labels of your own.", no_args_is_help=True
    )
    group.add_typer(runtime.runtime, name="runtime")
    group.add_typer(versions.versions, name="versions")
    group.add_typer(rules.rules, name="rules")
    group.add_typer(frameworks.frameworks, name="frameworks")
    group.add_typer(_taxonomy(), name="taxonomy")
    group.add_typer(quality.quality, name="quality")
    group.add_typer(quality.detectors, name="detectors")
    group.command("fallbacks")(fallbacks.fallbacks)
    group.command("train")(training.train)
    group.command("report")(training.report)
    group.command("predict")(training.predict)
    group.command("engine")(engine.engine)
    return group


def _taxonomy() -> typer.Typer:
    group = typer.Typer(help="Taxonomies: the labels that may come out.", no_args_is_help=True)
    group.command("import")(training.import_taxonomy)
    migration.add_to(group)
    return group
