"""What runs the pages is itself looked at: it must not take whatever is printed for written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.docs.console import is_as_written, open_console, steps_of

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """
```console
$ NAME=ada
$ say() {
>   echo "I am $1"; }
$ say "$NAME"
I am a…
```

```yaml
a: 1
```

```console
$ cat > kept & wait; wc -c < kept
0
```
"""


@pytest.mark.parametrize(
    ("page", "output", "expected"),
    [
        (("one", "two"), "one\ntwo\n", True),
        (("one",), "one\ntwo\n", False),
        (("one", "two"), "one\n", False),
        (("one", "…"), "one\ntwo\nthree\n", True),
        (("one", "…"), "one\n", True),
        (("…", "three"), "one\ntwo\nthree\n", True),
        (("A  B", "…  x"), "A       B   \n1234567 x\n", True),
        (("is … here",), "is not here\n", True),
        (("is … here",), "is not\nhere\n", False),
        (("a.c",), "abc\n", False),
        ((), "whatever\n", True),
        (("one",), "", False),
    ],
)
def test_what_is_printed_is_what_is_written(
    page: tuple[str, ...], output: str, *, expected: bool
) -> None:
    """Line by line, nothing more and nothing less, but for the places a page leaves open."""
    assert is_as_written(page, output) is expected


def test_a_page_is_read_into_commands() -> None:
    """With their further lines, what they print, and where they stand."""
    steps = steps_of(PAGE)
    assert [step.line for step in steps] == [3, 4, 6, 15]
    assert steps[1].command == 'say() {\n  echo "I am $1"; }'
    assert steps[2].printed == ("I am a…",)

    with pytest.raises(ValueError, match="line 2: a block begins with a command"):
        steps_of("```console\nno command\n```\n")


async def test_the_commands_of_a_page_share_a_shell(tmp_path: Path) -> None:
    """Variables and functions stay; nothing reads what comes next."""
    async with open_console(tmp_path, {"PATH": os.environ["PATH"]}) as console:
        await console.walk(steps_of(PAGE))

        with pytest.raises(AssertionError, match="line 2: spindle no"):
            await console.walk(steps_of("```console\n$ spindle no\n```\n"))

        with pytest.raises(AssertionError, match="but the page says:\ntwo"):
            await console.walk(steps_of("```console\n$ echo spindle one\ntwo\n```\n"))
