"""Versions of mappers as the command line tells them: who differs, what a version is, what it counted."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tests.unit.control.documents import canary, controls, kill, release, state
from trimtab.artifacts.manifest import FileEntry, Manifest
from trimtab.cli.mapper import registry
from trimtab.cli.mapper.differing import difference, disagreements, versions_of
from trimtab.cli.mapper.fallbacks import merged
from trimtab.cli.mapper.frameworks import document, lines, shape
from trimtab.contracts.control import ControlState, Phase, Switch
from trimtab.contracts.mappers import (
    ControlCount,
    LabelCount,
    MapperState,
    ServedTaxonomy,
    Unmapped,
)

REFERENCE = "safety-head@1"


def mapper(instance: str, versions: Mapping[str, str], **more: Any) -> MapperState:
    served = ServedTaxonomy(
        component=REFERENCE, component_hash="ab" * 32, taxonomy="ai-safety", versions=dict(versions)
    )
    told: dict[str, Any] = {
        "revision": 3, "refused": {}, "counted_from": 1.0, "answers": 0, "beyond": 0,
        "labels": [], "controls": [], "unmapped": [],
    }  # fmt: skip
    return MapperState(instance=instance, served=[served], **{**told, **more})


def test_the_mapper_that_differs_from_most_is_named_with_what_differs() -> None:
    usual = {"taxonomy": "t@1+a", "detectors": "d+1"}
    states = [
        mapper("m-1", usual),
        mapper("m-2", {**usual, "detectors": "d+2"}),
        mapper("m-3", usual),
    ]

    assert disagreements(states, REFERENCE) == ["m-2: ai-safety.detectors is d+2, others have d+1"]
    assert disagreements(states[::2], REFERENCE) == []
    assert disagreements([*states[::2], mapper("m-4", {})], REFERENCE) == [
        "m-4: ai-safety.detectors is absent, others have d+1",
        "m-4: ai-safety.taxonomy is absent, others have t@1+a",
    ]


def test_a_difference_names_only_what_changed() -> None:
    before = versions_of(mapper("m-1", {"taxonomy": "t@1+a", "detectors": "d+1"}), REFERENCE)
    after = {**before, "ai-safety.detectors": "d+2", "pets.taxonomy": "p@1+c"}

    assert difference(before, after) == [
        "ai-safety.detectors: d+1 -> d+2",
        "pets.taxonomy: absent -> p@1+c",
    ]
    assert difference(before, before) == []


def deployed(*names: str, ramp: Phase | None = None, previous: str | None = None) -> ControlState:
    """A state whose releases each map with a component called like them; ``next`` is ramped."""
    made = state("base", *names, canary=canary("next", 500, ramp) if ramp else None)
    releases = {n: msgspec.structs.replace(release(n), map=f"{n}@1") for n in made.releases}
    return msgspec.structs.replace(made, releases=releases, previous=previous)


@pytest.mark.parametrize(
    ("ramp", "previous", "wanted"),
    [
        pytest.param(None, None, "candidate", id="never served"),
        pytest.param(Phase.RUNNING, None, "canary", id="ramping"),
        pytest.param(Phase.ABORTED, None, "retired", id="taken back"),
        pytest.param(None, "next", "previous", id="warm"),
    ],
)
def test_a_version_is_what_its_releases_are(
    ramp: Phase | None, previous: str | None, wanted: str
) -> None:
    found = controls(deployed("next", ramp=ramp, previous=previous))

    assert registry.status_of("next@1", found, 1000.0) == wanted
    assert registry.status_of("base@1", found, 1000.0) == "stable"
    assert registry.status_of("other@1", found, 1000.0) == "stored"


def test_a_version_whose_every_release_is_banned_is_banned() -> None:
    ban = kill(Switch.RELEASE, "next", until=2000.0)
    found = controls(deployed("next"), ban)

    assert registry.status_of("next@1", found, 1000.0) == "banned"
    assert registry.status_of("next@1", found, 3000.0) == "candidate"


def test_a_row_tells_quality_and_where_another_content_runs_under_the_name() -> None:
    manifest = Manifest(
        name="base", version="1", kind="mapper", files={"adapter.json": FileEntry("a" * 64, 1)}
    )
    cards = {
        "adapter.json": {"taxonomy": "ai-safety", "training": {"held_out_accuracy": 0.8}},
        "calibration.json": {
            "kind": "platt",
            "answers": 900,
            "error_before": 0.1,
            "error_after": 0.02,
        },
    }
    stored = registry.Stored(manifest, registry.quality_of(cards))

    (row,) = registry.rows([stored], controls(deployed()), [], now=1000.0)

    assert (row["status"], row["releases"], row["workers"]) == ("stable", ["base"], [])
    assert (row["quality"]["top1"], row["quality"]["answers"]) == (0.8, 900)
    assert "n 900, top-1 80.0%, ECE 0.0200" in registry.line(row)
    cards["report.json"] = {"answers": 950, "top1": 0.82, "top3": 0.9, "errors": {"platt": 0.01}}
    better = registry.quality_of(cards)
    assert (better["answers"], better["top1"], better["error_after"]) == (950, 0.82, 0.01)
    assert registry.quality_of({}) == {}


def test_counts_of_several_mappers_are_added_up_and_the_page_holds_them() -> None:
    told = {
        "answers": 4,
        "controls": [
            ControlCount(taxonomy="ai-safety", framework="SOC2", control="CC7.2", answers=4)
        ],
        "labels": [LabelCount(taxonomy="ai-safety", label="HARM.SPEECH.Hate", answers=4)],
    }
    versions = {"frameworks": "ai-safety-controls@1+ab"}

    found = shape([mapper("m-1", versions, **told), mapper("m-2", versions, **told)], 3600.0)

    assert found["answers"] == 8
    assert found["frameworks"]["SOC2"] == [
        {"control": "CC7.2", "taxonomy": "ai-safety", "answers": 8}
    ]
    assert found["versions"] == ["ai-safety-controls@1+ab"]
    assert any("CC7.2" in line for line in lines(found))
    page = document(found)
    assert "CC7.2" in page
    assert "m-2" in page
    assert page.count("<svg") == 1


def test_an_unmapped_output_of_several_mappers_is_one_row() -> None:
    def seen(count: int, digest: str) -> Unmapped:
        return Unmapped(detector="text", digest=digest * 16, length=3, reason="none", count=count)

    states = [
        mapper("m-1", {}, unmapped=[seen(2, "a"), seen(1, "b")]),
        mapper("m-2", {}, unmapped=[seen(2, "b")]),
    ]

    assert [(each.digest[0], each.count) for each in merged(states)] == [("b", 3), ("a", 2)]
