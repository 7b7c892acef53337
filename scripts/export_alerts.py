"""Writes ``deploy/prometheus/alerts.yml`` from ``deploy/policies/alerts.yaml``: the same alerts in PromQL.

Usage: ``python -m scripts.export_alerts``
"""

from pathlib import Path
from typing import Any

import yaml

from services.controller.triggers import Trigger, Watch, parse_triggers

_DEPLOY = Path(__file__).parents[1] / "deploy"
SOURCE = _DEPLOY / "policies" / "alerts.yaml"
PATH = _DEPLOY / "prometheus" / "alerts.yml"

_HEAD = """\
# Generated from deploy/policies/alerts.yaml by `python -m scripts.export_alerts`; a test fails when it is stale.
# Those that rest on something that Prometheus does not see are evaluated by the controller alone.
"""


def watches() -> list[Watch]:
    """Return every alert of every profile, in the file's order."""
    data = SOURCE.read_bytes()
    found = [*parse_triggers(data, SOURCE.name, "cpu"), *parse_triggers(data, SOURCE.name, "gpu")]
    return list({(w.trigger.name, w.trigger.profile): w for w in found}.values())


def render() -> str:
    """Return the rules file."""
    groups = [
        {"name": f"trimtab{'-' * bool(profile)}{profile}", "rules": rules}
        for profile in ("", "cpu", "gpu")
        if (
            rules := [
                _rule(w) for w in watches() if w.trigger.profile == profile and w.trigger.expr
            ]
        )
    ]
    return _HEAD + yaml.safe_dump({"groups": groups}, sort_keys=False, width=110)


def anchor(trigger: Trigger) -> str:
    """Return the heading of an alert in the page of alerts, as a link names it."""
    return trigger.name.lower().replace(" ", "-")


def _rule(watch: Watch) -> dict[str, Any]:
    trigger = watch.trigger
    labels: dict[str, str] = {"severity": trigger.severity}
    if trigger.profile:
        labels["profile"] = trigger.profile
    return {
        "alert": trigger.name,
        "expr": trigger.expr,
        "for": f"{watch.condition.for_s:.0f}s",
        "labels": labels,
        "annotations": {
            "summary": trigger.notes,
            "description": trigger.condition,
            "runbook_url": f"docs/alerts.md#{anchor(trigger)}",
        },
    }


def main() -> None:
    """Write the rules."""
    PATH.write_text(render())


if __name__ == "__main__":
    main()
