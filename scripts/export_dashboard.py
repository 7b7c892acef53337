"""Writes ``deploy/grafana/dashboards/trimtab.json`` from the table in ``dashboard_panels``.

Usage: ``python -m scripts.export_dashboard``
"""

import json
from pathlib import Path
from typing import Any

from scripts.dashboard_panels import ROWS, Panel

PATH = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards" / "trimtab.json"

_COLUMNS = 4
_WIDTH = 24 // _COLUMNS
_HEIGHT = 8


def render() -> str:
    """Return the dashboard as Grafana imports it."""
    dashboard = {
        "uid": "trimtab",
        "title": "Trimtab",
        "tags": ["trimtab"],
        "schemaVersion": 41,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "utc",
        "panels": list(_panels()),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(_heading(len(panels) + 1, title, top))
        top += 1
        for start in range(0, len(row), _COLUMNS):
            for column, panel in enumerate(row[start : start + _COLUMNS]):
                panels.append(_graph(len(panels) + 1, panel, column * _WIDTH, top))
            top += _HEIGHT
    return panels


def _heading(number: int, title: str, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": 24, "h": 1}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "collapsed": False}


def _graph(number: int, panel: Panel, left: int, top: int) -> dict[str, Any]:
    defaults = {"unit": panel.unit} if panel.signed else {"unit": panel.unit, "min": 0}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.note,
        "gridPos": {"x": left, "y": top, "w": _WIDTH, "h": _HEIGHT},
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def main() -> None:
    """Write the dashboard."""
    PATH.write_text(render())


if __name__ == "__main__":
    main()
