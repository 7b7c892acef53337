"""What the measuring commands judge, without a deployment: rollback, diagnosis, comparison, wrong command lines."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from trimtab.cli.app import build
from trimtab.cli.evaluate import rollback
from trimtab.cli.evaluate.rollback import Baseline
from trimtab.cli.index import diagnose
from trimtab.cli.index.bundle import Bundle, Oracle
from trimtab.contracts.inspect import InspectReply, NormFacts
from trimtab.contracts.samples import Readiness, Sample
from trimtab.evaluation.runs import Ranking, write_run

RECORD: dict[str, Any] = {
    "collection": "docs",
    "through": "gateway",
    "queries_digest": "d",
    "seed": 7,
    "queries": 100,
    "error_rate": 0.001,
    "latency_ms": {"p95": 10.0},
    "metrics": {"R@5": {"mean": 0.8}, "Contain@50": {"mean": 0.9}},
    "releases": {"v-1": 100},
}
GOOD = NormFacts(count=9, least=1.0, greatest=1.0, mean=1.0, beyond=0)
FACTS = InspectReply(
    collection="docs",
    index="docs@9",
    namespace="n",
    encoder="e@1",
    kind="ivf",
    metric="inner_product",
    dimension=4,
    sequence=9,
    passages=9,
    listed=9,
    nprobe=2,
    lists=[4, 3, 2],
    imbalance=1.07,
    stored=GOOD,
    copies=GOOD,
    snapshot="",
    snapshot_sequence=0,
    sample=None,
)


def worker(name: str, **changes: Any) -> Sample:
    fields: dict[str, Any] = {
        "service": name,
        "instance": f"{name}-1",
        "version": "0.1.0",
        "readiness": Readiness.READY,
        "reason": "",
        "components": {},
        "revision": 5,
        "started_at": 0.0,
        "at": 1.0,
        "interval_s": 1.0,
        "rss_bytes": 1,
        "in_flight": 0,
        "endpoints": [],
    }
    return Sample(**{**fields, **changes})


def failing(bundle: Bundle) -> list[str]:
    return [gate.name for gate in diagnose.judge(bundle, 0.99, 2.0) if not gate.ok]


def bundle(**changes: Any) -> Bundle:
    fields: dict[str, Any] = {
        "samples": [worker("retriever"), worker("encoder")],
        "facts": FACTS,
        "nprobe": 2,
        "oracle": Oracle(100, 100),
        "commands": [],
        "problems": [],
    }
    return Bundle(**{**fields, **changes})


def test_a_healthy_deployment_fails_no_gate_of_the_diagnosis() -> None:
    assert failing(bundle()) == []


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"problems": ["index: no worker serves it"]}, "questions without an answer"),
        ({"samples": []}, "workers that answer"),
        (
            {"samples": [worker("retriever", readiness=Readiness.DEGRADED, reason="disk")]},
            "workers not simply ready",
        ),
        ({"samples": [worker("retriever", stale=True)]}, "workers not simply ready"),
        (
            {"samples": [worker("retriever"), worker("encoder", revision=4)]},
            "workers behind the newest revision",
        ),
        ({"oracle": Oracle(100, 98)}, "oracle recall"),
        ({"oracle": Oracle(0, 0)}, "oracle recall"),
        (
            {"facts": msgspec.structs.replace(FACTS, imbalance=2.1)},
            "imbalance of the lists",
        ),
        (
            {"facts": msgspec.structs.replace(FACTS, listed=8)},
            "passages that the lists lack or have twice",
        ),
        (
            {
                "facts": msgspec.structs.replace(
                    FACTS, stored=msgspec.structs.replace(GOOD, beyond=1)
                )
            },
            "stored vectors not of unit length",
        ),
    ],
)
def test_each_thing_that_looks_wrong_fails_its_own_gate(changes: dict[str, Any], gate: str) -> None:
    assert failing(bundle(**changes)) == [gate]


def test_a_diagnosis_without_an_index_still_says_what_the_workers_say() -> None:
    found = bundle(facts=None, problems=["index: no worker serves it"])

    assert failing(found) == ["questions without an answer"]
    assert diagnose.shape(found)["index"] is None
    assert [each["instance"] for each in diagnose.shape(found)["workers"]] == [
        "encoder-1",
        "retriever-1",
    ]


def after(**changes: Any) -> list[bool]:
    baseline = msgspec.convert(RECORD, Baseline)
    gates = rollback.judge(baseline, {**RECORD, **changes}, "v-1", 15.0, 0.2, 2.0)
    return [gate.ok for gate in gates]


@pytest.mark.parametrize(
    ("changes", "ok"),
    [
        pytest.param({}, [True] * 5, id="as it was"),
        pytest.param({"latency_ms": {"p95": 11.49}}, [True] * 5, id="15 % slower"),
        pytest.param({"latency_ms": {"p95": 11.6}}, [False, *[True] * 4], id="slower"),
        pytest.param({"latency_ms": None}, [False, *[True] * 4], id="nothing answered"),
        pytest.param({"error_rate": 0.004}, [True, False, *[True] * 3], id="errors"),
        pytest.param(
            {"metrics": {"R@5": {"mean": 0.779}, "Contain@50": {"mean": 0.9}}},
            [True, True, False, True, True],
            id="recall fell",
        ),
        pytest.param(
            {"metrics": {"R@5": {"mean": 0.9}, "Contain@50": {"mean": 0.87}}},
            [True, True, True, False, True],
            id="containment fell",
        ),
        pytest.param({"releases": {"v-1": 99, "v0": 1}}, [*[True] * 4, False], id="not back"),
    ],
)
def test_a_rollback_is_judged_against_its_baseline(changes: dict[str, Any], ok: list[bool]) -> None:
    assert after(**changes) == ok


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path))
    monkeypatch.delenv("TRIMTAB_NATS_URL", raising=False)
    return CliRunner()


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str]:
    """A run, and one in which two of forty queries find their passage no more."""
    good = [Ranking(f"q{n}", ("a",), ("a", "b"), f"c{n // 4}") for n in range(40)]
    worse = [Ranking(f"q{n}", ("a",), ("b",), f"c{n // 4}") for n in range(2)] + good[2:]
    write_run(tmp_path / "good.jsonl", good)
    write_run(tmp_path / "worse.jsonl", worse)
    return str(tmp_path / "good.jsonl"), str(tmp_path / "worse.jsonl")


def test_a_comparison_needs_no_deployment_and_fails_by_the_bound_that_was_given(
    runner: CliRunner, runs: tuple[str, str], tmp_path: Path
) -> None:
    words = ["eval", "compare", "--before", runs[0], "--after", runs[1], "--json"]
    page = tmp_path / "page.html"

    usual = runner.invoke(build(), words)
    patient = runner.invoke(
        build(), [*words, "--min-delta-r5", "-5.01", "--report", page.as_posix()]
    )
    surely = runner.invoke(build(), [*words, "--min-delta-r5", "-5.01", "--surely"])

    assert [usual.exit_code, patient.exit_code, surely.exit_code] == [1, 0, 1]
    found = json.loads(usual.stdout)
    assert found["delta_pp"]["R@5"]["mean"] == pytest.approx(-5.0)
    assert found["delta_pp"]["R@5"]["low"] < -5.0 < found["delta_pp"]["R@5"]["high"] <= 0.0
    html = page.read_text()
    assert "PASS  dR@5" in html
    assert "<title>R@5 before: 100</title>" in html
    assert "<title>R@5 after: 95</title>" in html


def test_a_comparison_is_fixed_by_its_seed(runner: CliRunner, runs: tuple[str, str]) -> None:
    words = ["eval", "compare", "--before", runs[0], "--after", runs[1], "--json", "--seed"]

    one, same = (runner.invoke(build(), [*words, "1"]).stdout for _ in range(2))

    assert one == same


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["index", "verify"], "--queries"),
        (["index", "sweep", "--queries", "{q}", "--nprobe", "4,x"], "from 1 to 4096"),
        (["index", "sweep", "--queries", "{q}", "--nprobe", "0"], "from 1 to 4096"),
        (
            ["index", "sweep", "--queries", "{q}", "--apply", "--release", "r"],
            "leave --release out",
        ),
        (["eval", "run", "--queries", "{q}", "--release", "r"], "--no-rerank"),
        (["eval", "run", "--queries", "nowhere.jsonl"], "does not exist"),
        (["eval", "run", "--queries", "{q}", "--n", "0"], "greater than or equal to 1"),
        (["eval", "run", "--queries", "{q}", "--out", "/nodir/x"], "written"),
        (["eval", "run", "--queries", "{q}", "--hits", "/nodir/x"], "written"),
        (["index", "truth", "--queries", "{q}", "--out", "/nodir/x"], "written"),
        (["eval", "rerank", "--queries", "{q}", "--after", "/nodir/x"], "written"),
        (["index", "verify", "--queries", "{q}", "--report", "/nodir/x"], "written"),
        (["eval", "run", "--queries", "{q}", "--trained-on", "{q}"], "no article"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_wrong_command_line_ends_with_2_and_says_why(
    runner: CliRunner, tmp_path: Path, words: list[str], says: str
) -> None:
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"id": "1", "text": "x", "relevant": ["a"]}\n')

    result = runner.invoke(build(), [word.format(q=queries) for word in words])

    assert result.exit_code == 2, result.output
    assert says in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "words",
    [
        ["index", "norms"],
        ["index", "diagnose"],
        ["index", "verify", "--queries", "{q}"],
        ["index", "sweep", "--queries", "{q}"],
        ["eval", "run", "--queries", "{q}"],
        ["eval", "rerank", "--queries", "{q}"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_an_absent_deployment_ends_with_3(
    runner: CliRunner, tmp_path: Path, words: list[str]
) -> None:
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"id": "1", "text": "x", "relevant": ["a"]}\n')
    words = [word.format(q=queries) for word in words]

    result = runner.invoke(build(), [*words, "--nats", "nats://127.0.0.1:1", "--json"])

    assert result.exit_code == 3, result.output
    assert json.loads(result.stdout)["error"]["name"] == "BusUnavailable"
