"""What a start looks like: a spinner per process on a terminal, a line per event elsewhere."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from trimtab.supervisor import events
from trimtab.supervisor.events import AnyEvent


@dataclass
class StartDisplay:
    """Shows the events of one start; give :meth:`show` to a supervisor as its sink."""

    console: Console
    _progress: Progress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _corpus_quarter: int = 0

    def __post_init__(self) -> None:
        if self.console.is_terminal:
            self._progress = Progress(
                SpinnerColumn(finished_text="[green]ok[/]"),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                console=self.console,
            )
            self._progress.start()

    def show(self, event: AnyEvent) -> None:
        """Show one event."""
        if isinstance(event, events.Up | events.Failed):
            self.close()
        elif self._progress is not None:
            self._draw(self._progress, event)
        else:
            self._write(event)

    def close(self) -> None:
        """Give the terminal back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _draw(self, progress: Progress, event: AnyEvent) -> None:
        match event:
            case events.Starting(name=name):
                self._task(progress, name, f"{name} starting", 1, 0)
            case events.Ready(name=name, note=note):
                text = f"{name} ready" + (f" (degraded: {note})" if note else "")
                self._task(progress, name, text, 1, 1)
            case events.Exited(name=name):
                self._task(progress, name, _exit_text(event), 1, 0)
            case events.Ingesting(collection=collection, done=done, total=total):
                text = f"ingesting {collection}: {done}/{total} passages"
                self._task(progress, f"corpus {collection}", text, total, done)
            case _:
                self._write(event)

    def _task(self, progress: Progress, key: str, text: str, total: int, done: int) -> None:
        if key not in self._tasks:
            self._tasks[key] = progress.add_task(text, total=total)
        progress.update(self._tasks[key], description=text, completed=done, total=total)

    def _write(self, event: AnyEvent) -> None:
        text = self._line(event)
        if text:
            self.console.print(text, markup=False, soft_wrap=True)

    def _line(self, event: AnyEvent) -> str:
        match event:
            case events.Ready(name=name, after_s=after_s, note=note):
                return f"{name} ready after {after_s:.1f} s" + (
                    f" (degraded: {note})" if note else ""
                )
            case events.Exited():
                return _exit_text(event)
            case events.Ingesting(collection=collection, done=done, total=total):
                quarter = 4 * done // total
                if quarter == self._corpus_quarter:
                    return ""
                self._corpus_quarter = quarter
                return f"ingesting {collection}: {done}/{total} passages"
            case events.Stopped(name=name, killed=killed):
                return f"{name} stopped" + (" (killed: it did not end in time)" if killed else "")
            case _:
                return ""


def _exit_text(event: events.Exited) -> str:
    how = f"by signal {-event.code}" if event.code < 0 else f"with status {event.code}"
    return f"{event.name} ended {how}, starting again in {event.restart_in_s:.1f} s"
