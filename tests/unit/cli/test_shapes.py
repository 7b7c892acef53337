"""The JSON that scripts rely on, key by key."""

from trimtab.cli import ingest, map, search
from trimtab.contracts.mapping import FallbackReason, MappingMode, MapReply
from trimtab.contracts.pipeline import SearchReply, SearchResult
from trimtab.corpus.rows import BadRow
from trimtab.corpus.upload import Report


def test_search_prints_request_release_results_and_times() -> None:
    reply = SearchReply(
        request_id="r1",
        release="base",
        results=[
            SearchResult(
                id="shutil.copytree",
                score=0.9,
                title="shutil.copytree(src, dst)",
                text="Recursively copy.",
                article="shutil",
                metadata={"kind": "function"},
            )
        ],
        timing_ms={"total": 3.0},
        versions={"encode": "minilm-int8@1"},
        degraded=["rerank: no_workers"],
    )

    assert search.shape(reply) == {
        "request_id": "r1",
        "release": "base",
        "results": [
            {
                "id": "shutil.copytree",
                "score": 0.9,
                "title": "shutil.copytree(src, dst)",
                "text": "Recursively copy.",
                "metadata": {"kind": "function"},
            }
        ],
        "timing_ms": {"total": 3.0},
    }


def test_map_prints_labels_confidence_who_decided_and_versions() -> None:
    reply = MapReply(
        taxonomy=["HARM.Hate"],
        scores={"HARM.Hate": 0.8},
        confidence=0.8,
        decided_by="rules",
        fallback_reason=FallbackReason.LOW_CONFIDENCE,
        mode=MappingMode.HYBRID,
        versions={"taxonomy": "ai-safety@1"},
        controls={"framework": ["A.1"]},
    )

    assert map.shape(reply) == {
        "taxonomy": ["HARM.Hate"],
        "scores": {"HARM.Hate": 0.8},
        "confidence": 0.8,
        "decided_by": "rules",
        "fallback_reason": FallbackReason.LOW_CONFIDENCE,
        "mode": MappingMode.HYBRID,
        "versions": {"taxonomy": "ai-safety@1"},
    }


def test_ingest_prints_counts_and_every_rejection_with_file_line_and_reason() -> None:
    report = Report("docs", new=2, unchanged=1, rejected=[BadRow("a.jsonl", 3, "not JSON")])

    assert ingest.shape(report) == {
        "collection": "docs",
        "new": 2,
        "unchanged": 1,
        "rejected": [{"file": "a.jsonl", "line": 3, "reason": "not JSON"}],
    }
