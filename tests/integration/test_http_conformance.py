"""A fuzzer reads the OpenAPI document, asks a real deployment accordingly, and finds nothing to say."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.deployments import Deployment

pytestmark = pytest.mark.integration

EXAMPLES = 25
"""Random requests per route beside the systematic ones; 60 s in all on a busy machine."""


@pytest.fixture
async def schema(http: httpx.AsyncClient) -> dict[str, object]:
    """The OpenAPI document that the gateway serves."""
    document: dict[str, object] = (await http.get("/openapi.json")).json()
    return document


def test_schemathesis_finds_nothing(deployment: Deployment, tmp_path: Path) -> None:
    """Every check is on, no status is excused: nothing undocumented, no 5xx, nothing wrongly accepted."""
    report = tmp_path / "report.json"
    fuzzer = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            f"{deployment.api}/openapi.json",
            "--checks=all",
            "--generation-deterministic",
            f"--max-examples={EXAMPLES}",
            # It times our answers too; a busy machine is no finding.
            "--suppress-health-check=too_slow",
            "--request-timeout=60",
            "--continue-on-failure",
            "--no-color",
            "--report=json",
            f"--report-json-path={report}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert fuzzer.returncode == 0, fuzzer.stdout[-8000:] + fuzzer.stderr[-2000:]
    assert report.is_file()


def test_every_schema_of_the_document_is_a_json_schema(
    schema: dict[str, dict[str, object]],
) -> None:
    schemas = schema["components"]["schemas"]

    assert isinstance(schemas, dict)
    assert {"SearchRequest", "SearchReply", "Problem", "Health"} <= set(schemas)
    for part in schemas.values():
        Draft202012Validator.check_schema(part)
    assert "\\Z" not in json.dumps(schemas), "Python's dialect of patterns"


async def test_the_examples_of_the_document_are_answered_as_promised(
    http: httpx.AsyncClient, schema: dict[str, dict[str, dict[str, dict[str, object]]]]
) -> None:
    posts = {path: route["post"] for path, route in schema["paths"].items() if "post" in route}

    answered = {}
    for path, operation in posts.items():
        content = operation["requestBody"]["content"]["application/json"]  # type: ignore[index]
        if "example" in content:
            answered[path] = (await http.post(path, json=content["example"])).status_code

    assert answered.pop("/v1/jobs") == 202
    assert set(answered.values()) == {200}
    assert set(posts) - set(answered) == {"/v1/embeddings", "/v1/jobs"}
