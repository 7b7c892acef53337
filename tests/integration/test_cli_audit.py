"""Whoever rewrites the audit's stream is found by `trimtab audit verify`; tail and export show what is stored."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nats.js.errors
import pytest
from nats.aio.client import Client as NatsClient

from trimtab.audit.chain import entry_hash
from trimtab.audit.ledger import Act, Ledger, audit_stream, keep_checkpoint, signing_key
from trimtab.bus.local_server import LocalServer
from trimtab.contracts.audit import GENESIS, AuditEntry, Checkpoint
from trimtab.contracts.message import decode, encode
from trimtab.contracts.subjects import AUDIT, AUDIT_STREAM
from trimtab.supervisor import ports

pytestmark = pytest.mark.integration

LENGTH = 6
Entries = list[AuditEntry]


def trimtab(*words: str, url: str, home: Path) -> tuple[int, Any]:
    """Run a command as people do; return its exit code and what it printed as JSON."""
    done = subprocess.run(
        [Path(sys.executable).with_name("trimtab"), *words, "--nats", url, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRIMTAB_HOME": str(home)},
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@dataclass(frozen=True)
class Recorded:
    """An audit of six acts and a checkpoint over all of them."""

    url: str
    home: Path
    connection: NatsClient
    entries: Entries

    @property
    def checkpoints(self) -> Path:
        return self.home / "audit" / "checkpoints"

    def trimtab(self, *words: str) -> tuple[int, Any]:
        return trimtab(*words, url=self.url, home=self.home)

    def unsigned(self) -> tuple[int, list[dict[str, Any]]]:
        """Verify without any checkpoint."""
        none = self.home / "none"
        none.touch()
        code, found = self.trimtab("audit", "verify", "--checkpoints", str(none))
        assert found["checkpoints"] == 0
        return code, found["faults"]

    def signed(self) -> tuple[int, list[dict[str, Any]]]:
        """Verify against the checkpoints of the home."""
        code, found = self.trimtab("audit", "verify")
        assert found["checkpoints"] == 1
        return code, found["faults"]

    async def rewrite(self, entries: Entries) -> None:
        """Put other entries in the stream's place, as one may who owns the server's disk."""
        js = self.connection.jetstream()
        await js.delete_stream(AUDIT_STREAM)
        await js.add_stream(audit_stream())
        for entry in entries:
            await js.publish(AUDIT, encode(entry), stream=AUDIT_STREAM)


@pytest.fixture
async def recorded(nats_server: LocalServer, connection: NatsClient, tmp_path: Path) -> Recorded:
    ledger = await Ledger.open(connection, "c-0")
    home = tmp_path / "home"
    entries = [
        await ledger.append(Act("ana", "kill", "written", f"drill {number}", number))
        for number in range(LENGTH)
    ]
    point = home / "audit" / "checkpoints"
    await keep_checkpoint(ledger, signing_key(home / "audit" / "key"), point)
    return Recorded(nats_server.url, home, connection, entries)


def without_the_third(entries: Entries) -> Entries:
    return entries[:2] + entries[3:]


def the_third_and_fourth_exchanged(entries: Entries) -> Entries:
    return [*entries[:2], entries[3], entries[2], *entries[4:]]


def the_third_edited(entries: Entries) -> Entries:
    edited = msgspec.structs.replace(entries[2], actor="mallory")
    return [*entries[:2], edited, *entries[3:]]


def the_first_left_out(entries: Entries) -> Entries:
    return entries[1:]


def the_last_edited(entries: Entries) -> Entries:
    return [*entries[:-1], msgspec.structs.replace(entries[-1], reason="nothing happened")]


def the_last_two_left_out(entries: Entries) -> Entries:
    return entries[:-2]


def all_left_out(_entries: Entries) -> Entries:
    return []


def linked_anew_under_another_name(entries: Entries) -> Entries:
    forged: Entries = []
    for entry in entries:
        previous = entry_hash(forged[-1]) if forged else GENESIS
        forged.append(msgspec.structs.replace(entry, previous=previous, actor="mallory"))
    return forged


async def test_an_untouched_audit_has_no_fault_signed_or_unsigned(recorded: Recorded) -> None:
    assert recorded.unsigned() == (0, [])
    assert recorded.signed() == (0, [])


@pytest.mark.parametrize(
    ("tamper", "at", "problem"),
    [
        pytest.param(without_the_third, 4, "deleted or reordered", id="deleted"),
        pytest.param(the_first_left_out, 2, "deleted or reordered", id="first deleted"),
        pytest.param(the_third_and_fourth_exchanged, 4, "deleted or reordered", id="reordered"),
        pytest.param(the_third_edited, 4, "the entry before was edited", id="edited"),
    ],
)
async def test_what_breaks_the_chain_is_named_without_any_checkpoint(
    recorded: Recorded, tamper: Callable[[Entries], Entries], at: int, problem: str
) -> None:
    await recorded.rewrite(tamper(recorded.entries))

    code, faults = recorded.unsigned()

    assert code == 1
    assert faults[0]["number"] == at
    assert problem in faults[0]["problem"]
    assert recorded.signed()[0] == 1


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        pytest.param(the_last_edited, "signed: edited", id="last edited"),
        pytest.param(the_last_two_left_out, "truncated", id="truncated"),
        pytest.param(all_left_out, "truncated", id="emptied"),
        pytest.param(linked_anew_under_another_name, "signed: edited", id="linked anew"),
    ],
)
async def test_what_leaves_the_chain_whole_is_named_by_the_checkpoint_alone(
    recorded: Recorded, tamper: Callable[[Entries], Entries], problem: str
) -> None:
    await recorded.rewrite(tamper(recorded.entries))

    code, faults = recorded.signed()

    assert recorded.unsigned() == (0, [])
    assert code == 1
    assert (faults[0]["number"], len(faults)) == (LENGTH, 1)
    assert problem in faults[0]["problem"]


async def test_a_message_taken_out_of_the_stream_itself_is_found(recorded: Recorded) -> None:
    js = recorded.connection.jetstream()
    await js.delete_stream(AUDIT_STREAM)
    open_to_all = dataclasses.replace(audit_stream(), deny_delete=False, deny_purge=False)
    await js.add_stream(open_to_all)
    for entry in recorded.entries:
        await js.publish(AUDIT, encode(entry), stream=AUDIT_STREAM)
    await js.delete_msg(AUDIT_STREAM, 5)

    code, faults = recorded.unsigned()

    assert code == 1
    assert [fault["number"] for fault in faults] == [6]


async def test_the_stream_itself_refuses_to_delete_an_entry_or_to_be_purged(
    recorded: Recorded,
) -> None:
    js = recorded.connection.jetstream()

    with pytest.raises(nats.js.errors.APIError):
        await js.delete_msg(AUDIT_STREAM, 2)
    with pytest.raises(nats.js.errors.APIError):
        await js.purge_stream(AUDIT_STREAM)

    assert recorded.signed() == (0, [])


async def test_tail_and_export_show_what_is_stored_also_when_it_was_tampered_with(
    recorded: Recorded, tmp_path: Path
) -> None:
    tampered = the_third_edited(recorded.entries)
    await recorded.rewrite(tampered)
    file = tmp_path / "audit.jsonl"

    code, tail = recorded.trimtab("audit", "tail", "--count", "4")
    exported_code, said = recorded.trimtab("audit", "export", str(file))

    assert (code, exported_code, said["entries"]) == (0, 0, LENGTH)
    assert [entry["number"] for entry in tail] == [3, 4, 5, 6]
    assert tail[0]["actor"] == "mallory"
    lines = file.read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=AuditEntry) for line in lines] == tampered


async def test_a_checkpoint_that_was_edited_is_a_fault_and_one_that_is_none_an_error(
    recorded: Recorded,
) -> None:
    point = decode(Checkpoint, bytes.fromhex(recorded.checkpoints.read_text()))
    forged = msgspec.structs.replace(point, number=LENGTH - 1)
    recorded.checkpoints.write_text(encode(forged).hex() + "\n")
    code, faults = recorded.signed()
    assert (code, [fault["number"] for fault in faults]) == (1, [LENGTH - 1])
    assert "signature is wrong" in faults[0]["problem"]

    recorded.checkpoints.write_text("nothing of the kind\n")
    code, said = recorded.trimtab("audit", "verify")
    assert code == 1
    assert "not hex" in said["error"]["problem"]


async def test_naming_a_checkpoints_file_that_is_not_there_is_refused(recorded: Recorded) -> None:
    await recorded.rewrite(the_last_two_left_out(recorded.entries))

    code, said = recorded.trimtab("audit", "verify", "--checkpoints", str(recorded.home / "gone"))

    assert code == 2
    assert "no file" in said["error"]["problem"]


@pytest.mark.parametrize("words", [("tail",), ("verify",), ("export", os.devnull)])
def test_an_audit_that_nobody_serves_is_unreachable(words: tuple[str, ...], tmp_path: Path) -> None:
    url = f"nats://{ports.HOST}:{ports.free_port()}"

    code, said = trimtab("audit", *words, url=url, home=tmp_path)

    assert code == 3
    assert "does not answer" in said["error"]["problem"]
