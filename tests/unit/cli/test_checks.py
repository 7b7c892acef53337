"""What doctor says of a machine, an installation and a fleet, and what it tells to do."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from services.encoder import weights as encoder_weights
from trimtab.cli.checks import deployment, machine, packages
from trimtab.cli.checks.check import Outcome
from trimtab.cli.checks.requirement import parse
from trimtab.contracts.samples import Readiness, Sample
from trimtab.supervisor.options import SERVICES


def sample(service: str = "mapper", instance: str = "mapper-1", **changes: object) -> Sample:
    fields: dict[str, object] = {
        "service": service,
        "instance": instance,
        "version": "0.1.0",
        "readiness": Readiness.READY,
        "reason": "",
        "components": {"rules@1": "aa"},
        "revision": 1,
        "started_at": 0.0,
        "at": 1.0,
        "interval_s": 1.0,
        "rss_bytes": 1,
        "in_flight": 0,
        "endpoints": [],
    }
    return Sample(**(fields | changes))  # type: ignore[arg-type]


def test_an_old_python_is_named_with_what_to_install() -> None:
    check = machine.python((3, 10, 4))

    assert check.outcome is Outcome.FAILED
    assert "3.11" in check.remedy


def test_too_little_memory_fails_and_an_unknown_amount_only_warns() -> None:
    assert machine.memory(10**9).outcome is Outcome.FAILED
    assert machine.memory(8 * 10**9).outcome is Outcome.OK
    assert machine.memory(None).outcome is Outcome.WARNING


def test_disk_is_measured_where_the_home_would_be(tmp_path: Path) -> None:
    check = machine.disk(tmp_path / "not" / "yet")

    assert str(tmp_path) in check.found


def test_an_old_server_and_one_that_does_not_run_fail() -> None:
    def broken(_: Path) -> str:
        raise subprocess.CalledProcessError(1, "nats-server")

    assert machine.nats_binary(lambda _: "2.15.1").outcome is Outcome.OK
    assert machine.nats_binary(lambda _: "2.9.0").outcome is Outcome.FAILED
    assert machine.nats_binary(broken).outcome is Outcome.FAILED


NEEDED = parse(["onnx>=1.19; extra == 'encoder'", "tokenizers>=0.23; extra == 'encoder'"])


@pytest.mark.parametrize(
    ("onnx", "tokenizers", "outcome"),
    [
        pytest.param("1.23.2", "0.23.3", Outcome.OK, id="whole"),
        pytest.param(None, None, Outcome.WARNING, id="not wanted here"),
        pytest.param("1.23.2", None, Outcome.FAILED, id="half"),
        pytest.param("1.18.0", "0.23.3", Outcome.FAILED, id="too old"),
    ],
)
def test_an_extra_is_whole_or_absent_never_half(
    onnx: str | None, tokenizers: str | None, outcome: Outcome
) -> None:
    found = {"onnx": onnx, "tokenizers": tokenizers}

    check = packages.extra_packages("encoder", NEEDED, found)

    assert check.outcome is outcome
    assert ("trimtab[encoder]" in check.remedy) is (outcome is not Outcome.OK)


def test_the_core_may_not_be_absent() -> None:
    needed = parse(["numpy>=2.0"])

    assert packages.extra_packages("", needed, {"numpy": None}).outcome is Outcome.FAILED


def test_weights_with_another_checksum_fail(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()

    assert packages.weights(path, right).outcome is Outcome.OK
    assert packages.weights(path).outcome is Outcome.FAILED
    assert packages.weights(None).outcome is Outcome.WARNING


def test_doctor_and_encoder_pin_the_same_weights() -> None:
    assert encoder_weights.SHA256[encoder_weights.MODEL] == packages.WEIGHTS_SHA256
    assert encoder_weights.REQUIREMENT.startswith(packages.WEIGHTS)


def test_this_installation_passes_its_own_check() -> None:
    assert [check.name for check in packages.packages() if check.outcome is Outcome.FAILED] == []


def test_a_service_without_worker_fails_with_the_command_that_starts_it() -> None:
    check = deployment.service("mapper", [sample("encoder")])

    assert check.outcome is Outcome.FAILED
    assert "python -m services.mapper" in check.remedy


def test_a_degraded_service_is_a_warning_with_its_reason() -> None:
    check = deployment.service(
        "mapper", [sample(readiness=Readiness.DEGRADED, reason="the adapter is missing")]
    )

    assert check.outcome is Outcome.WARNING
    assert "the adapter is missing" in check.found


def test_starting_workers_do_not_count() -> None:
    check = deployment.service("mapper", [sample(readiness=Readiness.STARTING)])

    assert check.outcome is Outcome.FAILED


def test_workers_of_two_versions_or_two_contents_of_one_component_fail() -> None:
    two_contents = [sample(), sample(instance="mapper-2", components={"rules@1": "bb"})]

    assert deployment.one_version([sample()], "0.1.0").outcome is Outcome.OK
    assert deployment.one_version([sample()], "0.2.0").outcome is Outcome.FAILED
    assert "rules@1" in deployment.one_version(two_contents, "0.1.0").found


async def test_without_nats_one_check_fails_and_the_rest_is_skipped() -> None:
    found = await deployment.deployment("nats://127.0.0.1:1", None, "0.1.0")

    assert [check.outcome for check in found].count(Outcome.FAILED) == 1
    assert len([check for check in found if check.outcome is Outcome.SKIPPED]) == 4 + len(SERVICES)
    assert "trimtab up" in found[0].remedy


def test_an_index_that_should_be_built_anew_is_a_warning_that_quotes_the_command() -> None:
    line = "rebuild: grew 20 % since trained; `trimtab index rebuild docs --queries FILE`"
    told = sample("retriever", "retriever-1", facts={"advice.docs": line})

    check = deployment.indexes([told])

    assert check.outcome is Outcome.WARNING
    assert check.found == line
    calm = sample("retriever", facts={"advice.docs": ""})
    assert deployment.indexes([calm]).outcome is Outcome.OK
