"""The traceability of requirements.toml, as far as the source of the tests shows it.

Whether each test also passed is checked at the end of a whole run: tests/plugins/traceability.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tests.plugins.traceability import read_requirements

TESTS = Path(__file__).parent
STAGES = (
    *("skeleton", "governance", "llm", "mcp", "conformance"),
    *("chat", "jobs", "scale", "people"),
)
DONE = frozenset({"skeleton", "governance"})
"""The stages that are finished or at work: none of their ids may be planned."""


def find_marks(source: str) -> set[str]:
    """Return the ids that `requirement("...")` marks in the source name."""
    return {
        argument.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "requirement"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def read_marks() -> dict[str, set[Path]]:
    marks: dict[str, set[Path]] = {}

    for path in TESTS.rglob("test_*.py"):
        for name in find_marks(path.read_text()):
            marks.setdefault(name, set()).add(path.relative_to(TESTS))

    return marks


def read_planned() -> set[str]:
    entries = read_requirements(TESTS / "requirements.toml")
    return {name for name, entry in entries.items() if entry.get("planned")}


def test_every_requirement_has_a_test_or_is_planned() -> None:
    """An id that is neither marked on a test nor planned is a promise nobody keeps."""
    marks = read_marks()
    entries = read_requirements(TESTS / "requirements.toml")
    assert [name for name in entries if name not in marks and name not in read_planned()] == []


def test_every_mark_names_a_known_requirement() -> None:
    """A mark with an unknown id proves nothing and hides a spelling mistake."""
    entries = read_requirements(TESTS / "requirements.toml")
    assert {name: paths for name, paths in read_marks().items() if name not in entries} == {}


def test_the_planned_list_holds_exactly_what_is_planned() -> None:
    """A finished requirement leaves the list, and an id outside the list cannot become planned."""
    listed = (TESTS / "requirements_planned.txt").read_text().split()
    assert sorted(read_planned()) == listed


def test_nothing_of_a_finished_stage_is_planned() -> None:
    """An id whose stage is due has to have its test."""
    entries = read_requirements(TESTS / "requirements.toml")
    assert [name for name in read_planned() if entries[name]["due"] in DONE] == []


def test_every_entry_names_its_stage_and_its_sentence() -> None:
    """`due` is one of the stages, `text` says what has to hold, and nothing else is written."""
    for name, entry in read_requirements(TESTS / "requirements.toml").items():
        assert entry["due"] in STAGES, name
        assert entry["text"], name
        assert entry.keys() <= {"due", "text", "planned"}, name


def test_marks_are_found_on_functions_modules_and_parameters() -> None:
    """Every way to place a mark is read: decorator, `pytestmark` and `pytest.param`."""
    source = """
pytestmark = pytest.mark.requirement("a")
@pytest.mark.requirement("b", "c")
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.requirement("d"))])
def test_x(x): ...
"""
    assert find_marks(source) == {"a", "b", "c", "d"}
