"""``POST /v1/map`` and ``/v1/map/batch`` over a real deployment."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from trimtab.client import Client
from trimtab.contracts.errors import RemoteError

pytestmark = pytest.mark.integration

LABEL = {"output": "hate/threatening", "detector": "openai-moderation"}
TEXT = {"output": "they want to hurt everybody who lives there"}
UNKNOWN = "OTHER.Unknown"


async def mapped(http: httpx.AsyncClient, body: Mapping[str, object]) -> dict[str, Any]:
    answer = await http.post("/v1/map", json=dict(body))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_detectors_label_is_mapped_by_the_rules_with_everything_that_made_it(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post("/v1/map", json=LABEL, headers={"X-Request-ID": "map-1"})

    found = answer.json()
    assert set(found) == {
        "request_id", "release", "taxonomy", "scores", "confidence", "decided_by",
        "fallback_reason", "mode", "versions", "controls", "timing_ms",
    }  # fmt: skip
    assert (found["request_id"], found["release"]) == ("map-1", "base")
    assert found["taxonomy"][0].startswith("HARM.SPEECH.")
    assert found["scores"][found["taxonomy"][0]] == found["confidence"] == 1.0
    assert (found["decided_by"], found["fallback_reason"], found["mode"]) == (
        "rules", None, "hybrid",
    )  # fmt: skip
    assert {"taxonomy", "detectors", "adapter", "rules"} <= set(found["versions"])
    assert found["versions"]["adapter"].startswith("safety-head@1")
    assert found["controls"]


async def test_a_text_is_mapped_by_the_model_with_a_confidence(http: httpx.AsyncClient) -> None:
    found = await mapped(http, TEXT)

    assert found["decided_by"] == "model"
    assert found["taxonomy"][0].startswith("HARM.")
    assert 0.0 < found["confidence"] < 1.0
    assert {"encode", "map", "total"} == set(found["timing_ms"])


async def test_a_threshold_above_the_models_confidence_leaves_the_decision_to_the_rules(
    http: httpx.AsyncClient,
) -> None:
    found = await mapped(http, {**TEXT, "threshold": 1.0})

    assert found["decided_by"] != "model"
    assert found["fallback_reason"] == "low_confidence"


@pytest.mark.parametrize("output", ["", "   ", "not toxic", "|"])
async def test_nothing_and_its_denial_are_unknown_never_an_accidental_label(
    http: httpx.AsyncClient, output: str
) -> None:
    found = await mapped(http, {"output": output, "detector": "openai-moderation"})

    assert found["taxonomy"] == [UNKNOWN]


async def test_an_aggregate_is_mapped_part_by_part(http: httpx.AsyncClient) -> None:
    detector = {"detector": "openai-moderation"}
    parts = [
        (await mapped(http, {"output": output, **detector}))["taxonomy"][0]
        for output in ("hate/threatening", "sexual/minors")
    ]

    both = await mapped(http, {"output": "hate/threatening|sexual/minors", **detector})

    assert set(parts) <= set(both["taxonomy"])
    assert len(set(parts)) == 2


async def test_http_and_nats_give_the_same_answer(http: httpx.AsyncClient, client: Client) -> None:
    over_http = await mapped(http, TEXT)
    over_nats = (await client.map(TEXT["output"])).answer

    assert over_http["taxonomy"] == over_nats.taxonomy
    assert over_http["confidence"] == pytest.approx(over_nats.confidence)


async def test_an_unknown_taxonomy_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/map", json={**LABEL, "taxonomy": "nobodys"})

    assert (answer.status_code, answer.json()["title"]) == (404, "UnknownTaxonomy")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no output"),
        pytest.param({"output": "x" * 8193}, id="a long output"),
        pytest.param({"output": "x", "threshold": 1.5}, id="a threshold above 1"),
        pytest.param({"output": "x", "detector": ""}, id="a detector without a name"),
        pytest.param({"output": "x", "confidence": 1}, id="an unknown field"),
        pytest.param({"output": "|".join(map(str, range(33)))}, id="too many parts"),
    ],
)
async def test_what_is_no_map_request_is_refused(
    http: httpx.AsyncClient, body: dict[str, object]
) -> None:
    answer = await http.post("/v1/map", json=body)

    assert answer.status_code == 422


@pytest.mark.parametrize("count", [1, 100])
async def test_a_batch_answers_every_item_in_its_order(http: httpx.AsyncClient, count: int) -> None:
    items = [
        LABEL if number % 2 else {"output": f"they want to hurt person {number}"}
        for number in range(count)
    ]

    answer = await http.post(
        "/v1/map/batch", json={"requests": items}, headers={"X-Timeout-Ms": "60000"}
    )

    batch = answer.json()
    answers = [result["answer"] for result in batch["results"]]
    assert (answer.status_code, batch["failed"]) == (200, 0)
    assert [result["index"] for result in batch["results"]] == list(range(count))
    assert {each["decided_by"] for each in answers[1::2]} <= {"rules"}
    # A batch must not shed its own items: each text got its vector.
    reasons = {each["fallback_reason"] for each in answers}
    assert reasons <= {None, "low_confidence"}


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_of_none_or_of_more_than_a_hundred_is_refused(
    http: httpx.AsyncClient, count: int
) -> None:
    answer = await http.post("/v1/map/batch", json={"requests": [LABEL] * count})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "requests" in answer.json()["detail"]


async def test_an_item_that_fails_says_so_itself_and_leaves_the_others_alone(
    http: httpx.AsyncClient,
) -> None:
    items = [LABEL, {**LABEL, "taxonomy": "nobodys"}, TEXT]

    batch = (await http.post("/v1/map/batch", json={"requests": items})).json()

    first, second, third = batch["results"]
    assert batch["failed"] == 1
    assert (first["error"], third["error"]) == (None, None)
    assert second["answer"] is None
    assert (second["error"]["code"], second["error"]["error"]) == ("not_found", "UnknownTaxonomy")
    assert first["answer"]["decided_by"] == "rules"


async def test_an_item_of_a_wrong_shape_refuses_the_batch_and_names_the_item(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post("/v1/map/batch", json={"requests": [LABEL, {"output": 7}]})

    assert answer.status_code == 422
    assert "requests" in answer.json()["detail"]


RAW = {"output": "what the user wrote\n" * 5, "detector": "openai-moderation"}


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/v1/map", RAW),
        ("/v1/jobs", {"work": {"kind": "map", "request": RAW}}),
    ],
)
async def test_raw_content_of_a_detector_that_says_labels_is_refused_and_counted(
    http: httpx.AsyncClient, route: str, body: dict[str, object]
) -> None:
    before = await rejected(http, "raw_content")
    answer = await http.post(route, json=body)

    assert (answer.status_code, answer.json()["title"]) == (422, "RawContent")
    assert "user wrote" not in answer.text
    assert await rejected(http, "raw_content") == before + 1


async def test_raw_content_fails_its_own_item_of_a_batch_and_passes_as_free_text(
    http: httpx.AsyncClient,
) -> None:
    items = [LABEL, RAW, {**RAW, "detector": "text"}]

    batch = (await http.post("/v1/map/batch", json={"requests": items})).json()

    errors = [result["error"] and result["error"]["error"] for result in batch["results"]]
    assert errors == [None, "RawContent", None]


async def test_a_sentence_of_a_detector_that_says_labels_is_refused_by_the_mapper_over_nats_too(
    client: Client,
) -> None:
    with pytest.raises(RemoteError) as refused:
        await client.map(" ".join(["word"] * 20), detector="openai-moderation")
    with pytest.raises(RemoteError) as raw:
        await client.map(str(RAW["output"]), detector="openai-moderation")

    assert refused.value.error == raw.value.error == "RawContent"


@pytest.mark.parametrize("route", ["/v1/map", "/v1/map/batch"])
async def test_a_mapping_body_over_64_kib_is_refused_before_it_is_read_whole(
    http: httpx.AsyncClient, route: str
) -> None:
    before = await rejected(http, "oversize")
    answer = await http.post(route, content=b" " * (64 * 1024 + 1))

    assert (answer.status_code, answer.json()["title"]) == (413, "MessageTooLarge")
    assert await rejected(http, "oversize") == before + 1


async def rejected(http: httpx.AsyncClient, reason: str) -> float:
    """Return what the gateway counted."""
    wanted = f'mapper_request_payload_rejected_total{{reason="{reason}"}} '
    lines = (await http.get("/metrics")).text.splitlines()
    return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))
