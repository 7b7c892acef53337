"""An incident file: facts where there are facts, gaps named, words of others harmless, nothing ever replaced."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.audit.recorded import Record
from trimtab.audit.incident import Acknowledged, Answered, Incident, Observed, incident
from trimtab.cli.app import build
from trimtab.cli.failure import Failure
from trimtab.cli.incident import files
from trimtab.cli.incident.markdown import plain
from trimtab.cli.incident.page import Heading, page, summary
from trimtab.cli.incident.snapshot import Snapshot, WorkerRow
from trimtab.cli.incident.write import window
from trimtab.contracts.orders import KillCommand, PromoteCommand, RollBackCommand
from trimtab.contracts.orders import StartCanaryCommand as Start
from trimtab.contracts.samples import AlertStatus

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
ALERT = AlertStatus(
    name="Mapper5xxHigh",
    severity="critical",
    state="quiet",
    condition="map_error_rate > 1% for 10 minutes",
    measured=0.002,
    requests=640,
)


def row(service: str, requests: int | None, errors: int | None) -> WorkerRow:
    return WorkerRow(
        service=service,
        instance=f"{service}-1",
        version="0.1.0",
        readiness="ready",
        revision=4,
        components=["safety-head@1"],
        acknowledged_at=None,
        requests=requests,
        errors=errors,
        p95_ms=None,
    )


def snapshot(*workers: WorkerRow, missing: str = "") -> Snapshot:
    return Snapshot(
        at=NOON + 3600.0,
        revision=4,
        release="base",
        canary="",
        leader="c-0",
        workers=list(workers),
        alerts=[ALERT],
        switches=[],
        settings=[],
        frozen="",
        missing=[missing] if missing else [],
    )


def bad(reason: str = "errors everywhere") -> Record:
    """A release promoted at noon, alarmed an hour later, taken back half a minute after that."""
    record = Record()
    record.order(NOON - 60.0, Start(release="next", weight_bp=500), actor="bea")
    record.order(NOON, PromoteCommand(), actor="bea")
    record.fired(NOON + 3600.0)
    record.order(NOON + 3630.0, RollBackCommand(), actor="ana", reason=reason)
    record.cleared(NOON + 4200.0)
    return record


def found_in(record: Record) -> Incident:
    seen = Observed(
        "base",
        (Acknowledged(4, NOON + 3631.0, 1.0),),
        (
            Answered("req-bad", NOON + 10.0, "next", 2),
            Answered("req-good", NOON + 3640.0, "base", 4),
        ),
    )
    return incident(record.entries, 0.0, NOON + 9000.0, seen)


def written(record: Record, shown: Snapshot | None = None) -> str:
    heading = Heading("Errors", "ana", NOON - 60.0, NOON + 9000.0, "20261121_incident.json")
    return page(found_in(record), shown or snapshot(row("gateway", 1200, 3)), heading)


def part(text: str, title: str) -> str:
    return text.split(f"## {title}", 1)[1].split("\n## ", 1)[0]


def test_the_page_says_what_was_taken_back_by_whom_and_what_serves() -> None:
    line = summary(found_in(bad()))

    assert line == ("release next was taken back by ana at 2026-11-21 13:00:30.000; base serves")
    assert line in written(bad())


def test_the_timeline_is_in_order_and_has_a_line_per_event() -> None:
    rows = re.findall(r"^\| (2026-[^|]+) \| ([^|]*)\|", part(written(bad()), "Timeline"), re.M)

    moments = [moment for moment, _ in rows]
    assert moments == sorted(moments)
    assert len(rows) == 5 + 3, "five entries; the first bad event, the last worker, the good answer"


def test_times_are_told_from_the_condition_to_the_end_of_the_alarm() -> None:
    times = part(written(bad()), "Times")

    assert "| to detect | 10.0 min |" in times
    assert "| to roll back | 30.000 s |" in times
    assert "| to obey | 1.000 s |" in times
    assert "| to recover | 10.0 min |" in times
    assert "Target 15 minutes: kept" in times


def test_the_review_is_due_two_hours_after_the_rollback_with_those_who_acted() -> None:
    review = part(written(bad()), "Review")

    assert "Until: 2026-11-21 15:00:30.000" in review
    assert "Brought the release in: bea" in review
    assert "Acted: ana" in review


def test_impact_names_share_requests_and_measured_figures_as_numbers() -> None:
    impact = part(written(bad()), "Impact")

    assert "up to 100 % went to next" in impact
    assert "`req-bad`" in impact
    assert "map_error_rate = 0.31" in impact
    assert "1200 requests, 3 with an error" in impact


def test_without_a_controller_no_figure_is_made_up() -> None:
    text = written(bad(), snapshot(row("gateway", None, None), missing="no controller answers"))

    assert "no controller answers" in text
    assert "with an error" not in text


def test_what_only_a_person_knows_stands_as_an_empty_heading() -> None:
    text = written(bad())

    for title in ("Root cause", "What went well", "Follow-ups"):
        assert part(text, title).strip().endswith("-")


def test_words_of_others_break_no_table_and_bring_no_markup() -> None:
    text = written(bad("a | b\n## <script>`x`</script> [here](http://x)"))

    assert "<script>" not in text
    assert "\n## <" not in text
    assert "a \\| b ##" in text


def test_long_words_are_cut() -> None:
    assert len(plain("x" * 5000)) == 300


def test_a_switch_without_a_release_is_told_as_such() -> None:
    record = Record()
    record.order(NOON, KillCommand(switch="reranker", value="off"))  # type: ignore[arg-type]
    text = written(record)

    assert "+ reranker=off for everybody: switched by ana" in text
    assert "no release was taken back" in text


def test_a_second_file_of_a_day_gets_a_number_and_the_first_stays(tmp_path: Path) -> None:
    names = [files.write(tmp_path / "new", NOON, f"see @ {n}", b"{}", "@").name for n in range(3)]

    assert names == [
        "20261121_incident.md",
        "20261121_incident_2.md",
        "20261121_incident_3.md",
    ]
    assert (tmp_path / "new" / names[0]).read_text() == "see 20261121_incident.json 0"
    assert json.loads((tmp_path / "new" / "20261121_incident_3.json").read_text()) == {}


def test_a_page_that_somebody_made_by_hand_is_not_replaced_and_leaves_no_lonely_figures(
    tmp_path: Path,
) -> None:
    (tmp_path / "20261121_incident.md").write_text("by hand")

    made = files.write(tmp_path, NOON, "page", b"{}", "@")

    assert made.name == "20261121_incident_2.md"
    assert (tmp_path / "20261121_incident.md").read_text() == "by hand"
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["20261121_incident_2.json"]


def test_a_folder_that_is_a_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Failure, match="cannot be written to") as refused:
        files.write(tmp_path / "file", NOON, "page", b"{}", "@")
    assert "--out" in refused.value.remedy


def test_a_window_is_a_span_before_now_or_between_two_moments() -> None:
    assert window("2h", "", "", NOON) == (NOON - 7200.0, NOON)
    assert window("2h", "", "2026-11-21T11:00", NOON) == (NOON - 10_800.0, NOON - 3600.0)
    assert window("2h", "2026-11-21T12:00:00+01:00", "", NOON) == (NOON - 3600.0, NOON)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param("yesterday", "", id="no time"),
        pytest.param("2026-11-21T11:00", "2026-11-21T10:00", id="backwards"),
    ],
)
def test_a_window_that_is_none_is_a_wrong_command_line(start: str, end: str) -> None:
    with pytest.raises(Failure) as refused:
        window("2h", start, end, NOON)
    assert refused.value.code == 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["--nats", "nats://127.0.0.1:1"], 3, "trimtab up", id="nobody there"),
        pytest.param(["--from", "yesterday"], 2, "is no time", id="no time"),
        pytest.param(["--since", "long"], 1, "no span of time", id="no span"),
    ],
)
def test_what_cannot_be_written_ends_as_other_commands_do_and_leaves_nothing(
    tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    out = tmp_path / "out"

    result = CliRunner().invoke(build(), ["incident", "write", "--out", str(out), "--json", *words])

    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert "problem" in json.loads(result.stdout)["error"]
    assert not out.exists()
