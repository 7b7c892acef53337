"""``up.json``: written in one step, believed only while its supervisor lives."""

from pathlib import Path

from trimtab.supervisor import state
from trimtab.supervisor.processid import ProcessId
from trimtab.supervisor.state import Running, UpState


def made(supervisor: ProcessId) -> UpState:
    return UpState(
        supervisor=supervisor,
        home="/h",
        nats_url="nats://127.0.0.1:1",
        http_url="http://127.0.0.1:2",
        since=1.0,
        ready=True,
        processes=[Running(name="encoder-1", process=supervisor, log="/h/logs/encoder-1.log")],
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written = made(ProcessId.mine())

    state.write(tmp_path / "up.json", written)

    assert state.read(tmp_path / "up.json") == written
    assert state.running(tmp_path / "up.json") == written
    assert [path.name for path in tmp_path.iterdir()] == ["up.json"]


def test_a_file_of_a_dead_supervisor_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "up.json"
    state.write(path, made(ProcessId(pid=1, started="another boot")))

    assert state.read(path) is not None
    assert state.running(path) is None


def test_no_file_and_half_a_file_count_as_none(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text('{"supervisor": {')

    assert state.read(tmp_path / "up.json") is None
    assert state.read(tmp_path / "missing.json") is None
