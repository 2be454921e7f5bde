"""Warn of long files and functions, and fail on very long ones."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_WARN, FILE_FAIL = 400, 600
FUNCTION_WARN, FUNCTION_FAIL = 60, 80
GENERATED = ("_pb2.py", "_pb2_grpc.py")


def list_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"],
        check=True, cwd=ROOT, capture_output=True, text=True,
    ).stdout  # fmt: skip
    paths = [Path(name) for name in listed.split("\0") if name]
    return [path for path in paths if (ROOT / path).exists() and not path.name.endswith(GENERATED)]


def measure(path: Path, text: str) -> list[tuple[int, bool, str]]:
    """Return (lines, is failure, sentence) for every size of the file over its first limit."""
    found: list[tuple[int, bool, str]] = []
    lines = text.count("\n")

    if lines > FILE_WARN:
        found.append((lines, lines > FILE_FAIL, f"{path}: {lines} lines"))

    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1

            if length > FUNCTION_WARN:
                sentence = f"{path}:{node.lineno}: {node.name} has {length} lines"
                found.append((length, length > FUNCTION_FAIL, sentence))

    return found


def main() -> int:
    found = [row for path in list_files() for row in measure(path, (ROOT / path).read_text())]

    for _, is_failure, sentence in sorted(found, reverse=True):
        print("too long:" if is_failure else "long:    ", sentence)

    return int(any(is_failure for _, is_failure, _ in found))


if __name__ == "__main__":
    sys.exit(main())
