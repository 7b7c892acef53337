"""From options to processes: ports decided, taken ones refused with a way out, the release fits the encoder."""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from trimtab.contracts.component import Release
from trimtab.supervisor import profile, vllm
from trimtab.supervisor.assembly import assemble
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import UpOptions
from trimtab.supervisor.ports import HOST
from trimtab.supervisor.supervisor import StartFailed


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.prepare()
    return made


def options(home: Home, **changes: object) -> UpOptions:
    return msgspec.structs.replace(
        UpOptions(home=str(home.root), nats_port=0, http_port=0), **changes
    )


def test_free_ports_are_found_and_every_process_is_told_of_them(home: Home) -> None:
    assembly = assemble(options(home), home)

    decided = assembly.options
    assert decided.nats_port != decided.http_port
    assert f'listen: "{HOST}:{decided.nats_port}"' in home.nats_config.read_text()
    assert assembly.workers == 6
    assert next(spec.name for spec in assembly.specs) == "nats-server"


def test_a_taken_port_is_refused_with_its_holder_and_the_option_that_helps(home: Home) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(StartFailed) as refused:
            assemble(options(home, nats_port=port), home)

    assert f"port {port} for NATS is taken by" in refused.value.problem
    assert "--nats-port 0" in refused.value.remedy
    if sys.platform == "linux":
        assert f"(pid {os.getpid()})" in refused.value.problem


def test_the_default_encoder_runs_the_shipped_release(home: Home) -> None:
    environment = {s.name: s.environment for s in assemble(options(home), home).specs}

    assert environment["encoder-1"]["ENCODER_COMPONENT"] == "minilm-int8@1"
    assert environment["controller-1"]["CONTROLLER_FIRST_RELEASE"] == str(profile.shipped_release())


def test_another_profile_gets_a_release_that_names_it(home: Home) -> None:
    environment = {
        s.name: s.environment for s in assemble(options(home, encoder="fp32"), home).specs
    }

    path = Path(environment["controller-1"]["CONTROLLER_FIRST_RELEASE"])
    release = msgspec.json.decode(path.read_bytes(), type=Release)
    shipped = json.loads(profile.shipped_release().read_bytes())
    assert release.encode == environment["encoder-1"]["ENCODER_COMPONENT"] == "minilm-fp32@1"
    assert release.name == "base-fp32"
    assert release.map == shipped["map"]


def test_a_running_vllm_server_is_used_and_none_is_started(home: Home) -> None:
    url = "http://10.0.0.7:8000"

    specs = assemble(options(home, encoder="vllm", encoder_url=url), home).specs

    assert all(spec.tier != "engine" for spec in specs)
    encoder = next(spec for spec in specs if spec.name == "encoder-1")
    assert encoder.environment["ENCODER_VLLM_URL"] == url


def test_without_a_vllm_environment_the_start_says_how_to_get_one(home: Home) -> None:
    with pytest.raises(StartFailed, match="--encoder-url"):
        assemble(options(home, encoder="vllm", vllm_python="/nowhere/python"), home)


def test_a_vllm_server_is_started_before_the_encoder_that_asks_it(home: Home) -> None:
    assembly = assemble(options(home, encoder="vllm", vllm_python=sys.executable), home)

    engine = next(spec for spec in assembly.specs if spec.tier == "engine")
    port = assembly.options.encoder_url.rpartition(":")[2]
    assert engine.arguments[:3] == (sys.executable, "-m", "vllm.entrypoints.openai.api_server")
    assert port in engine.arguments
    encoder = next(spec for spec in assembly.specs if spec.name == "encoder-1")
    assert encoder.environment["ENCODER_VLLM_URL"] == assembly.options.encoder_url
    assert encoder.environment["ENCODER_VLLM_TOKENIZER"].endswith("tokenizer.json")
    assert assembly.workers == 6


async def answered_with(status: bytes) -> dict[str, str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await vllm.ready(f"http://{HOST}:{port}")


async def test_vllm_is_ready_when_its_health_page_says_so() -> None:
    assert await answered_with(b"200 OK") == {vllm.NAME: ""}
    assert await answered_with(b"503 Service Unavailable") == {}
    assert await vllm.ready(f"http://{HOST}:1") == {}
