"""Writes ``deploy/prometheus/objectives.yml`` from ``deploy/policies/objectives.yaml``: burn rates as recording rules.

Usage: ``python -m scripts.export_objectives``
"""

from pathlib import Path

import yaml

from services.controller.budgets import WINDOWS
from services.controller.objectives import Objective, load_objectives
from services.controller.windows import OURS

_DEPLOY = Path(__file__).parents[1] / "deploy"
POLICIES = _DEPLOY / "policies"
PATH = _DEPLOY / "prometheus" / "objectives.yml"

_HEAD = """\
# Generated from deploy/policies/objectives.yaml by `python -m scripts.export_objectives`; a test fails when it is stale.
# objective:burn_rate:<window> is the share of bad requests over the share allowed; absent on too few requests.
"""


def render() -> str:
    """Return the rules file."""
    rules = [
        {
            "record": f"objective:burn_rate:{window}",
            "expr": _burn_rate(objective, window),
            "labels": {"objective": objective.name},
        }
        for objective in load_objectives(POLICIES)
        for window in WINDOWS
    ]
    group = {"name": "objectives", "interval": "30s", "rules": rules}
    return _HEAD + yaml.safe_dump({"groups": [group]}, sort_keys=False, width=110)


def _burn_rate(objective: Objective, window: str) -> str:
    of = f'service="{objective.service}",endpoint="{objective.endpoint}"'
    if objective.within_s is None:
        every = f"trimtab_requests_total{{{of}}}"
        ours = "|".join(sorted(OURS))
        failed = f'trimtab_requests_total{{{of},outcome=~"{ours}"}}'
        bad = f"({_rate(failed, window)} or vector(0))"
    else:
        of += ',role!=""'  # what an operator measures spends nothing
        every = f"trimtab_request_duration_seconds_count{{{of}}}"
        good = f'trimtab_request_duration_seconds_bucket{{{of},le="{objective.within_s:g}"}}'
        bad = f"({_rate(every, window)} - {_rate(good, window)})"
    enough = f"sum(increase({every}[{window}])) >= {objective.least}"
    return f"{bad} / {_rate(every, window)} / {objective.allowed:g} and {enough}"


def _rate(series: str, window: str) -> str:
    return f"sum(rate({series}[{window}]))"


def main() -> None:
    """Write the rules."""
    PATH.write_text(render())


if __name__ == "__main__":
    main()
