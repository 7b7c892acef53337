"""Importing any module only defines things: no socket, no thread, no process, no file is touched."""

import json
import subprocess
import sys
from pathlib import Path

from tests.architecture.tree import ROOT, modules

_PROBE = '''
import importlib, json, sys

EVENTS = ("socket.", "subprocess.", "_thread.start_new_thread", "os.mkdir", "os.remove", "os.rename",
          "os.system", "os.fork", "os.exec", "os.posix_spawn", "open", "shutil.", "tempfile.", "sqlite3.")
ROOTS = tuple(sys.argv[1:])
seen = []

def guilty():
    """Return our frame when our own module body asked for it, not a package that it imports."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return None
        if name.startswith(ROOTS):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return None

def hook(event, args):
    if event.startswith(EVENTS):
        place = guilty()
        if place:
            seen.append(f"{event} at {place}")

names = json.load(sys.stdin)
sys.addaudithook(hook)
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {error}"
json.dump({"seen": seen, "failed": failed}, sys.stdout)
'''


def test_importing_every_module_touches_nothing() -> None:
    names = [name for name in modules() if not name.endswith("__main__")]
    roots = [str(ROOT / "libs"), str(ROOT / "services")]

    probe = subprocess.run(
        [sys.executable, "-c", _PROBE, *roots],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}"},
        timeout=120,
        check=True,
    )

    found = json.loads(probe.stdout)
    failed = {n: why for n, why in found["failed"].items() if "pip install 'trimtab[" not in why}
    assert found["seen"] == []
    assert failed == {}, "only a missing extra may keep a module from loading, and it says which"


def test_the_probe_sees_a_module_that_opens_a_socket_and_a_file(tmp_path: Path) -> None:
    lines = ("import socket", "socket.socket().close()", "open(__file__).close()")
    (tmp_path / "naughty.py").write_text("\n".join(lines))

    probe = subprocess.run(
        [sys.executable, "-c", _PROBE, str(tmp_path)],
        input=json.dumps(["naughty"]),
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
        timeout=60,
        check=True,
    )

    events = [line.split(" at ")[0] for line in json.loads(probe.stdout)["seen"]]
    assert events == ["socket.__new__", "open"]
