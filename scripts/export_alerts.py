"""Writes ``deploy/prometheus/alerts.yml`` from what the controller watches: the same triggers and alerts in PromQL.

Usage: ``python -m scripts.export_alerts``
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

from services.controller.triggers import Profile, Watch, parse_triggers

_DEPLOY = Path(__file__).parents[1] / "deploy"
SOURCE = _DEPLOY / "policies" / "alerts.yaml"
TRIGGERS = _DEPLOY / "policies" / "rollback_triggers.yaml"
PATH = _DEPLOY / "prometheus" / "alerts.yml"

TRIGGER_FIRED = "TriggerFired"
"""Alert that says that the controller took a release back: it may have cured what it was for within a second."""

_HEAD = """\
# Generated from deploy/policies/rollback_triggers.yaml and alerts.yaml by `python -m scripts.export_alerts`; a test
# fails when it is stale. What Prometheus cannot measure it asks the controller: controller_alert_firing.
"""


def watches(*sources: Path) -> list[Watch]:
    """Return every trigger and alert of every profile, in the files' order; of both files when none is named."""
    found = [
        watch
        for source in sources or (TRIGGERS, SOURCE)
        for profile in get_args(Profile)
        for watch in parse_triggers(source.read_bytes(), source.name, profile)
    ]
    return list({(w.trigger.name, w.trigger.profile): w for w in found}.values())


def render() -> str:
    """Return the rules file."""
    triggers, alerts = watches(TRIGGERS), watches(SOURCE)
    by_profile = {
        f"trimtab{'-' * bool(profile)}{profile}": [
            _rule(watch) for watch in alerts if watch.trigger.profile == profile
        ]
        for profile in ("", *get_args(Profile))
    }
    rules = {"trimtab-rollback": [*map(_rule, triggers), _fired(triggers)], **by_profile}
    groups = [{"name": name, "rules": those} for name, those in rules.items() if those]
    return _HEAD + yaml.safe_dump({"groups": groups}, sort_keys=False, width=110)


def anchor(name: str) -> str:
    """Return the heading of an alert in the page of alerts, as a link names it."""
    return name.lower().replace(" ", "-")


def _rule(watch: Watch) -> dict[str, Any]:
    trigger, for_s = watch.trigger, watch.condition.for_s
    labels: dict[str, str] = {"severity": trigger.severity}
    if trigger.profile:
        labels["profile"] = trigger.profile
    # The controller has waited for the whole duration already.
    asked = f'max(controller_alert_firing{{alert="{trigger.name}"}}) == 1'
    return {
        "alert": trigger.name,
        "expr": trigger.expr or asked,
        "for": f"{for_s if trigger.expr else 0:.0f}s",
        "labels": labels,
        "annotations": _annotations(trigger.name, trigger.notes, trigger.condition),
    }


def _fired(triggers: Sequence[Watch]) -> dict[str, Any]:
    acting = "|".join(w.trigger.name for w in triggers if w.trigger.action == "rollback")
    fired = f'increase(controller_triggers_fired_total{{trigger=~"{acting}"}}[15m])'
    notes = "{{ $labels.trigger }} fired in the last 15 minutes; `trimtab audit tail` says what was rolled back."
    return {
        "alert": TRIGGER_FIRED,
        "expr": f"sum by (trigger) ({fired}) > 0",
        "for": "0s",
        "labels": {"severity": "critical"},
        "annotations": _annotations(TRIGGER_FIRED, notes, "a trigger that rolls back fired"),
    }


def _annotations(name: str, summary: str, description: str) -> dict[str, str]:
    link = f"docs/alerts.md#{anchor(name)}"
    return {"summary": summary, "description": description, "runbook_url": link}


def main() -> None:
    """Write the rules."""
    PATH.write_text(render())


if __name__ == "__main__":
    main()
