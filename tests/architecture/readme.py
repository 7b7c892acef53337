"""The commands of a Markdown page, read from its code blocks; what is shown as output is left alone."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^ *```(\w*) *$")
_SHELL = {"sh", "bash", "shell", "console", ""}
_PROGRAMS = {"trimtab", "make", "curl", "python", "docker", "printf"}
_HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")


@dataclass(frozen=True)
class Command:
    """One command line, or one block of Python."""

    line: int
    """Where it stands."""
    program: str
    """trimtab, make, curl, python, docker; or ``script`` for a block of Python."""
    text: str
    """As a shell would run it; the source of a ``script``."""

    @property
    def words(self) -> list[str]:
        """The command line in words, comments left out."""
        return shlex.split(self.text.partition("\n")[0], comments=True)

    def __str__(self) -> str:
        return self.text if self.program != "script" else f"python block in line {self.line}"


@dataclass(frozen=True)
class Block:
    """One fenced code block."""

    line: int
    """Of its first line of content, counted from 1."""
    language: str
    """As the fence states it."""
    lines: tuple[str, ...]
    """Content."""


def blocks(path: Path) -> Iterator[Block]:
    """Yield every fenced code block."""
    start, language = 0, ""
    content: list[str] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and start:
            yield Block(start, language, tuple(content))
            start, content = 0, []
        elif fence:
            start, language = number + 1, fence[1]
        elif start:
            content.append(line)


def commands(path: Path) -> list[Command]:
    """Return every command of a page that a reader is told to type, in order."""
    found: list[Command] = []
    for block in blocks(path):
        if block.language == "python":
            found.append(Command(block.line, "script", "\n".join(block.lines)))
        elif block.language in _SHELL:
            found += _typed(block)
    return found


def _typed(block: Block) -> Iterator[Command]:
    """Yield the command lines of a shell block, continued lines and here-documents joined."""
    rest = list(enumerate(block.lines, block.line))
    while rest:
        number, line = rest.pop(0)
        text = line.removeprefix("$ ").strip()
        while text.endswith("\\") and rest:
            text = f"{text[:-1].rstrip()} {rest.pop(0)[1].strip()}"
        opened = _HEREDOC.search(text)
        while opened and rest:
            body = rest.pop(0)[1]
            text += f"\n{body}"
            if body.strip() == opened[1]:
                break
        program = text.split(maxsplit=1)[0] if text else ""
        if program in _PROGRAMS or opened:
            yield Command(number, program, text)
