"""Events survive the pipe between a detached supervisor and the command that started it."""

import pytest

from trimtab.supervisor import events
from trimtab.supervisor.events import AnyEvent


@pytest.mark.parametrize(
    "event",
    [
        events.Starting(name="encoder-1", pid=7),
        events.Ready(name="encoder-1", after_s=1.5, note=""),
        events.Exited(name="encoder-1", code=-9, restart_in_s=0.2),
        events.Ingesting(collection="stdlib", done=64, total=128),
        events.Up(nats_url="nats://x", http_url="http://x", took_s=2.0, corpus="present"),
        events.Stopping(name="encoder-1"),
        events.Stopped(name="encoder-1", killed=False),
        events.Failed(problem="p", remedy="r"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_every_event_is_one_line_and_comes_back_the_same(event: AnyEvent) -> None:
    line = events.to_line(event)

    assert line.count(b"\n") == 1
    assert events.from_line(line) == event
