"""What a dry run says that each worker would do: a line per worker that would change, none for the others."""

import msgspec
import pytest

from services.controller.consequences import consequences
from tests.unit.control.documents import canary, controls, kill, release, state
from trimtab.contracts.control import Switch
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    DeleteReleaseCommand,
    KillCommand,
    Order,
    RestoreCommand,
    SetCommand,
    StartCanaryCommand,
)
from trimtab.contracts.samples import Readiness, WorkerStatus
from trimtab.control.effective import Controls

NOW = 1_790_000_000.0
SERVICES = ("controller", "encoder", "gateway", "mapper", "reranker", "retriever")
LOADED = {
    "encoder": ["minilm-int8@1"],
    "retriever": ["hybrid@1"],
    "reranker": ["mlp-base@1"],
    "mapper": ["safety-head@1"],
}


def fleet(*silent: str) -> list[WorkerStatus]:
    return [
        WorkerStatus(
            service=service,
            instance=f"{service}-1",
            version="1",
            readiness=Readiness.READY,
            reason="",
            components=dict.fromkeys(LOADED.get(service, []), "00"),
            revision=1,
            age_s=0.1,
            silent=service in silent,
            uptime_s=9.0,
            rss_bytes=1,
            requests=0,
            errors=0,
            p95_ms=None,
            facts={},
        )
        for service in SERVICES
    ]


def would(command: Command, before: Controls | None = None, *silent: str) -> list[str]:
    order = Order(operation="o", command=command, actor="ana", reason="to see", dry_run=True)
    return consequences(before or controls(state()), order, fleet(*silent), NOW)


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        pytest.param(
            KillCommand(switch=Switch.RERANKER, value="off", ttl_s=60.0),
            ["gateway-1: asks no reranker"],
            id="reranker-off",
        ),
        pytest.param(
            KillCommand(switch=Switch.MAPPER_MODE, value="rules_only", tenant="acme", ttl_s=60.0),
            ["gateway-1: maps by rules only", "mapper-1: maps by rules only"],
            id="rules-only-for-a-tenant",
        ),
        pytest.param(
            KillCommand(switch=Switch.RETRIEVER_IMPL, value="mean", ttl_s=60.0),
            ["gateway-1: searches with mean"],
            id="query-model",
        ),
        pytest.param(
            KillCommand(switch=Switch.PIPELINE, value="closed", ttl_s=60.0),
            [f"{service}-1: refuses requests" for service in SERVICES[1:]],
            id="closed",
        ),
        pytest.param(
            SetCommand(name="retriever.nprobe", value=4),
            ["gateway-1: obeys retriever.nprobe = 4"],
            id="setting",
        ),
        pytest.param(
            SetCommand(name="encoder.batch_texts", value=8),
            ["encoder-1: obeys encoder.batch_texts = 8"],
            id="setting-of-a-stage",
        ),
        pytest.param(
            CreateReleaseCommand(release=release("next", rerank="mlp-next@1")),
            ["reranker-1: loads mlp-next@1"],
            id="release",
        ),
    ],
)
def test_each_worker_that_would_change_says_what(command: Command, lines: list[str]) -> None:
    assert would(command) == lines


def test_a_canary_is_loaded_by_its_stage_and_routed_by_the_gateway() -> None:
    lines = would(
        StartCanaryCommand(release="next", weight_bp=500), controls(state("base", "next"))
    )

    assert lines == [
        "gateway-1: sends 5 % to next, the rest to base",
        "reranker-1: loads mlp-next@1",
    ]


def test_who_holds_what_only_a_deleted_release_names_unloads_it() -> None:
    lines = would(
        DeleteReleaseCommand(release="base-2"),
        controls(
            msgspec.structs.replace(
                state("next", "base"),
                releases={
                    "next": release("next", rerank="mlp-next@1"),
                    "base-2": release("base-2", rerank="mlp-base@1"),
                },
            )
        ),
    )

    assert "reranker-1: loads mlp-next@1, unloads mlp-base@1, unless its settings name it" in lines


def test_a_banned_canary_is_refused_everywhere_and_gets_nothing() -> None:
    ramping = controls(state("base", "next", canary=canary("next", 500)))
    lines = would(KillCommand(switch=Switch.RELEASE, value="next", ttl_s=60.0), ramping)

    assert "gateway-1: refuses release next, sends everything to base" in lines
    assert "encoder-1: refuses release next" in lines


def test_what_is_taken_back_is_said_as_such_and_silent_workers_are_left_out() -> None:
    off = controls(state(), kill(Switch.RERANKER, "off"))

    assert would(RestoreCommand(switch=Switch.RERANKER), off) == [
        "gateway-1: asks the reranker again"
    ]
    assert would(RestoreCommand(switch=Switch.RERANKER), off, "gateway") == []
