"""Which deployment a command talks to: option, variable, what runs here, default; in this order."""

from pathlib import Path

from trimtab.cli.address import nats_url
from trimtab.supervisor import state
from trimtab.supervisor.home import Home
from trimtab.supervisor.processid import ProcessId
from trimtab.supervisor.state import UpState


def running(home: Home, supervisor: ProcessId) -> None:
    home.prepare()
    state.write(
        home.state,
        UpState(
            supervisor=supervisor,
            home=str(home.root),
            nats_url="nats://127.0.0.1:7777",
            http_url="http://127.0.0.1:7778",
            since=0.0,
            ready=True,
            processes=[],
        ),
    )


def test_the_option_wins_over_everything(tmp_path: Path) -> None:
    environment = {"TRIMTAB_NATS_URL": "nats://variable", "TRIMTAB_HOME": str(tmp_path)}
    running(Home(tmp_path), ProcessId.mine())

    assert nats_url("nats://option", environment) == "nats://option"
    assert nats_url(None, environment) == "nats://variable"


def test_what_runs_in_this_home_is_found(tmp_path: Path) -> None:
    running(Home(tmp_path), ProcessId.mine())

    assert nats_url(None, {"TRIMTAB_HOME": str(tmp_path)}) == "nats://127.0.0.1:7777"


def test_a_stale_state_file_is_not_believed(tmp_path: Path) -> None:
    running(Home(tmp_path), ProcessId(pid=1, started="another boot"))

    assert nats_url(None, {"TRIMTAB_HOME": str(tmp_path)}) == "nats://127.0.0.1:4222"
