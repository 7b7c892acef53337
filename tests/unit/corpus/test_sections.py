"""Markdown and plain text become passages that keep their headings and every word."""

import re

from hypothesis import given
from hypothesis import strategies as st

from trimtab.corpus.sections import sections

MARKDOWN = """# Guide

Intro one.

Intro two.

## Install

Run it:

```
# not a heading
make up

make down
```

### Windows

Not yet.

## Use

Search.
"""


def test_headings_open_passages_and_nest() -> None:
    found = [(s.line, s.headings) for s in sections(MARKDOWN)]

    assert found == [
        (3, ("Guide",)),
        (9, ("Guide", "Install")),
        (20, ("Guide", "Install", "Windows")),
        (24, ("Guide", "Use")),
    ]


def test_a_comment_inside_a_code_block_is_no_heading_and_the_block_stays_whole() -> None:
    install = list(sections(MARKDOWN))[1]

    assert "# not a heading\nmake up\n\nmake down" in install.text


def test_paragraphs_are_joined_up_to_the_target_only() -> None:
    text = "\n\n".join(["x" * 40] * 5)

    assert [len(s.text) for s in sections(text, target_chars=100)] == [82, 82, 40]


def test_a_long_paragraph_is_cut_between_words() -> None:
    found = list(sections("word " * 100, target_chars=50))

    assert all(len(s.text) <= 50 for s in found)
    assert " ".join(s.text for s in found).split() == ["word"] * 100


def test_a_blank_text_has_no_passage() -> None:
    assert list(sections(" \n\n\t\n")) == []


@given(st.lists(st.text(alphabet="ab c\n", max_size=80), max_size=20))
def test_no_word_is_ever_lost_or_invented(paragraphs: list[str]) -> None:
    text = "\n\n".join(paragraphs)

    found = list(sections(text, target_chars=30))

    assert re.findall(r"\S+", " ".join(s.text for s in found)) == text.split()
    assert [s.line for s in found] == sorted(s.line for s in found)
