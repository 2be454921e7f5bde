"""The runner of tests/mutants has to tell a suite that notices from one that does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/mutants.py"
SOURCE = "def sign() -> int:\n    return 1\n"
BREAKS = """import pytest, sign

@pytest.fixture
def server(): assert sign.sign() == 1

def test_it(server): pass
"""
NOTICES = "import sign\n\ndef test_it(): assert sign.sign() == 1\n"
BLIND = "import sign\n\ndef test_it(): assert sign.sign()\n"
PATCH = """# tests: {selection}
diff --git a/core/sign.py b/core/sign.py
--- a/core/sign.py
+++ b/core/sign.py
@@ -1,2 +1,2 @@
 def sign() -> int:
-    return 1
+    return -1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one source file, a test that notices and a test that is blind."""
    for name, text in {
        "core/sign.py": SOURCE,
        "tests/test_notices.py": NOTICES,
        "tests/test_blind.py": BLIND,
        "tests/test_breaks.py": BREAKS,
        "pytest.ini": "[pytest]\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    (tmp_path / "tests/mutants").mkdir()
    return tmp_path


def run(project: Path, patch: str) -> subprocess.CompletedProcess[str]:
    (project / "tests/mutants/sign.patch").write_text(patch)
    return subprocess.run(
        [sys.executable, "scripts/mutants.py"], cwd=project, capture_output=True, text=True
    )


def test_a_mutant_that_the_suite_notices_is_caught(project: Path) -> None:
    """The tests run against the patched copy, and the work tree stays as it is."""
    result = run(project, PATCH.format(selection="tests/test_notices.py"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "sign.patch: caught: 1 failed" in result.stdout
    assert (project / "core/sign.py").read_text() == SOURCE


@pytest.mark.parametrize(
    ("patch", "complaint"),
    [
        (PATCH.format(selection="tests/test_blind.py"), "the suite did not notice: 1 passed"),
        (PATCH.format(selection="tests/test_gone.py"), "its tests did not run (exit code 4)"),
        (PATCH.format(selection="tests/test_breaks.py"), "its tests did not run (exit code 1)"),
        (PATCH.replace("return 1", "return 2").format(selection="tests"), "it no longer applies"),
        (PATCH.partition("\n")[2], "its first line does not read"),
    ],
)
def test_a_mutant_that_proves_nothing_fails(project: Path, patch: str, complaint: str) -> None:
    """A blind suite, tests that cannot start, a patch out of date, and one without tests."""
    result = run(project, patch)
    assert result.returncode == 1
    assert f"sign.patch: FAILED: {complaint}" in result.stdout
    assert "0 of 1 mutants caught" in result.stdout
