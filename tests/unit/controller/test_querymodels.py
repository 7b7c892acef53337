"""A query model counts as there when one live retriever says that it has loaded it."""

import pytest

from services.controller.querymodels import query_model_loaded
from trimtab.contracts.samples import Readiness, WorkerStatus


def worker(instance: str, models: str | None, service: str = "retriever") -> WorkerStatus:
    return WorkerStatus(
        service=service,
        instance=instance,
        version="1",
        readiness=Readiness.READY,
        reason="",
        components={},
        revision=1,
        age_s=0.1,
        silent=False,
        uptime_s=60.0,
        rss_bytes=1,
        requests=0,
        errors=0,
        p95_ms=None,
        facts={} if models is None else {"query_models": models},
    )


FLEET = [
    worker("r-1", "last_vec mean amn_v0@1"),
    worker("r-2", "last_vec mean"),
    worker("e-1", "gru_v0@1", service="encoder"),
    worker("r-3", None),
]


@pytest.mark.parametrize(
    ("asked", "holders"),
    [("amn_v0", "r-1"), ("amn_v0@1", "r-1"), ("mean", "r-1, r-2"), ("last_vec", "r-1, r-2")],
)
def test_a_loaded_model_is_allowed_and_its_holders_are_named(asked: str, holders: str) -> None:
    finding = query_model_loaded(FLEET, asked)

    assert finding.ok
    assert finding.detail == f"{asked} on {holders}"


@pytest.mark.parametrize("asked", ["amn_v0@2", "gru_v0", "amn", "", "amn_v0@1 mean"])
def test_what_no_retriever_has_loaded_is_refused_with_the_list_of_what_is(asked: str) -> None:
    finding = query_model_loaded(FLEET, asked)

    assert not finding.ok
    assert "loaded: last_vec, mean, amn_v0@1;" in finding.detail


def test_the_querys_own_vector_can_be_asked_for_although_no_retriever_is_heard_of() -> None:
    assert query_model_loaded([], "last_vec").ok
    assert "loaded: none" in query_model_loaded([], "mean").detail
