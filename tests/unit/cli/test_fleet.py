"""The fleet as status shows it: convergence, health, and a table that hides nothing."""

from dataclasses import dataclass

import msgspec
import pytest
from rich.console import Console

from trimtab.cli import fleet
from trimtab.contracts.samples import Readiness, StatusReply, WorkerStatus


def worker(instance: str = "encoder-1", **changes: object) -> WorkerStatus:
    made = WorkerStatus(
        service="encoder",
        instance=instance,
        version="0.1.0",
        readiness=Readiness.READY,
        reason="",
        components={"minilm-int8@1": "ab" * 32},
        revision=3,
        age_s=0.4,
        silent=False,
        uptime_s=125.0,
        rss_bytes=200 * 2**20,
        requests=120,
        errors=1,
        p95_ms=4.25,
        facts={},
    )
    return msgspec.structs.replace(made, **changes)


def status(*workers: WorkerStatus) -> StatusReply:
    return StatusReply(at=1.0, workers=list(workers), revision=3, release="base")


@dataclass(frozen=True)
class Case:
    name: str
    status: StatusReply
    behind: list[str]
    silent: list[str]
    healthy: bool


CASES = [
    Case("all well", status(worker(), worker("b")), [], [], True),
    Case("one lags", status(worker(), worker("b", revision=2)), ["b"], [], False),
    Case("one is not steered", status(worker(), worker("b", revision=0)), [], [], True),
    Case("one is silent", status(worker(), worker("b", silent=True, revision=1)), [], ["b"], False),
    Case("one is degraded", status(worker(readiness=Readiness.DEGRADED)), [], [], True),
    Case("one is starting", status(worker(readiness=Readiness.STARTING)), [], [], False),
    Case("nobody is there", status(), [], [], False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_health_needs_workers_that_serve_are_heard_of_and_up_to_date(case: Case) -> None:
    state = fleet.convergence(case.status)

    assert state["behind"] == case.behind
    assert state["silent"] == case.silent
    assert state["converged"] is (not case.behind and not case.silent)
    assert fleet.healthy(case.status) is case.healthy


def test_the_json_shape_is_the_one_that_scripts_rely_on() -> None:
    shape = msgspec.json.decode(msgspec.json.encode(fleet.shape(status(worker()))))

    assert set(shape) == {
        "at",
        "release",
        "revision",
        "canary",
        "leader",
        "convergence",
        "releases",
        "rollout",
        "switches",
        "settings",
        "frozen",
        "advised",
        "alerts",
        "budgets",
        "workers",
    }
    assert set(shape["convergence"]) == {"converged", "behind", "silent"}
    assert {"service", "instance", "version", "readiness", "requests", "p95_ms", "errors"} <= set(
        shape["workers"][0]
    )


def drawn(found: StatusReply, problem: str = "") -> str:
    console = Console(width=240, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(fleet.picture(found, problem))
    return captured.get()


def test_the_table_shows_every_worker_with_its_reason_and_figures() -> None:
    text = drawn(
        status(
            worker(),
            worker("m", readiness=Readiness.DEGRADED, reason="[rules] only", p95_ms=None),
            worker("s", silent=True, obedience="silent", obeys_why="silent for 9 s"),
            worker("r", revision=2, obedience="rejected", obeys_why="rejected: no ghost@9"),
        )
    )

    assert "release base, revision 3: NOT converged" in text
    assert "minilm-int8@1" in text
    assert "4.2" in text
    assert "2 m" in text
    assert "m: [rules] only" in text
    assert "s: silent for 9 s" in text
    assert "r: rejected: no ghost@9" in text
    rejected = next(line for line in text.splitlines() if " r " in line)
    assert "encoder" in rejected
    assert "rejected" in rejected


def test_requests_are_shown_as_a_rate_over_the_time_that_the_worker_is_there() -> None:
    text = drawn(status(worker(), worker("young", uptime_s=4.0, requests=10)))

    (old,) = [line for line in text.splitlines() if "encoder-1" in line]
    (young,) = [line for line in text.splitlines() if "young" in line]
    assert "2.0" in old.split()
    assert "2.5" in young.split()


def test_an_old_picture_says_why_it_is_old_and_who_stopped_automation() -> None:
    frozen = msgspec.structs.replace(
        status(worker()), frozen="ana: holidays", switches=["reranker=off, 60 s left, by ana"]
    )

    text = drawn(frozen, "nobody answers")

    assert "old picture: nobody answers" in text
    assert "automation frozen by ana: holidays" in text
    assert "switched: reranker=off, 60 s left, by ana" in text


def test_an_index_that_should_be_built_anew_is_advised_once() -> None:
    facts = {"advice.docs": "", "advice.docs.hybrid@2": "rebuild: grew 20 %", "advice.more": ""}
    found = status(worker("retriever-1", facts=facts), worker("retriever-2", facts=facts))

    assert fleet.shape(found)["advised"] == ["rebuild: grew 20 %"]
    assert drawn(found).count("advised: rebuild: grew 20 %") == 1
    assert fleet.healthy(found), "advice is no fault"
