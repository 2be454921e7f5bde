"""The `.proto` files: generated, up to date, accepted by the compiler, and stable in numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_spi.proto import NUMBERS, SERVICES, Numbered, Numbers, generate, main
from spindle_spi.records import RecordSpec
from spindle_spi.types import Json
from tests.spi.derived import bounded

COMMITTED = Path(__file__).parents[2] / "spi" / "proto"

names = st.lists(st.sampled_from("abcdef"), unique=True)


def committed(name: str) -> str:
    return (COMMITTED / name).read_text("utf-8")


def service(name: str) -> str:
    return committed(f"core/spi/{name}/v1/{name}.proto")


def test_the_committed_files_are_those_of_the_types(capsys: pytest.CaptureFixture[str]) -> None:
    """After a change of a type: `make proto`, and commit what it wrote."""
    assert main(["--check", str(COMMITTED)]) == 0, capsys.readouterr().out


def test_the_compiler_accepts_every_file(tmp_path: Path) -> None:
    """All of them together, with their imports."""
    files = sorted(path.relative_to(COMMITTED).as_posix() for path in COMMITTED.rglob("*.proto"))
    assert len(files) == len(SERVICES) + 1
    output = tmp_path / "all.binpb"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"-o{output}", *files],
        check=True,
        cwd=COMMITTED,
    )
    assert output.stat().st_size


@pytest.mark.parametrize("name", SERVICES)
def test_every_operation_is_a_call_of_its_service(name: str) -> None:
    """Under the package the contract names."""
    text = service(name)
    assert f"package core.spi.{name}.v1;" in text
    assert f"service {SERVICES[name].__name__} {{" in text
    operations = [name for name in vars(SERVICES[name]) if not name.startswith("_")]
    assert text.count("  rpc ") == len(operations)


def test_types_have_their_proto_forms() -> None:
    """JSON, unions, optional values, lists that may be absent, enums, streams."""
    types = committed("core/spi/types/v1/types.proto")
    plugin, catalog = service("plugin"), service("catalog")

    for line in (
        "google.protobuf.Struct options",
        "optional int64 context_window",
        "SecretRef api_key",
        "StringList token_teams",
        "repeated string tags",
        "repeated StringList headers",
        "    ToolSpec tool_spec = 5;",
        "  KIND_UNSPECIFIED = 0;",
        "  KIND_PROVIDER = 1;",
        "// The caller as the core resolved it; never a raw claim.",
        "message ErrorEnvelope {",
    ):
        assert line in types

    assert "rpc OpenGuard(stream OpenGuardRequest) returns (stream OpenGuardResponse);" in plugin
    assert "rpc Invoke(InvokeRequest) returns (stream InvokeResponse);" in catalog
    assert "rpc Subscribe(SubscribeRequest) returns (stream SubscribeResponse);" in catalog
    assert "progress = 1;" in catalog
    assert "ProgressSink" not in catalog
    assert "StringMap labels" in service("observability")


class Acme:
    """A service with forms that no committed one has."""

    async def ask(
        self, anything: Json, perhaps: Json | None, many: tuple[Json, ...], of: RecordSpec
    ) -> Mapping[str, tuple[str, ...]]:
        """Ask."""
        raise NotImplementedError


def test_a_service_with_other_forms_is_generated_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bare JSON, lists of it, a union as an argument, and a map of lists."""
    monkeypatch.setitem(SERVICES, "acme", Acme)
    text = generate(Numbers({}))["core/spi/acme/v1/acme.proto"]
    assert [line.strip() for line in text.splitlines() if line.endswith(";")][2:] == [
        'import "core/spi/types/v1/types.proto";',
        'import "google/protobuf/struct.proto";',
        "rpc Ask(AskRequest) returns (AskResponse);",
        "google.protobuf.Value anything = 1;",
        "google.protobuf.Value perhaps = 2;",
        "repeated google.protobuf.Value many = 3;",
        "core.spi.types.v1.RecordSpec of = 4;",
        "map<string, core.spi.types.v1.StringList> value = 1;",
    ]


def test_no_committed_number_was_ever_given_twice() -> None:
    """Neither to two names of one message nor to a name that is gone."""
    for message, entry in json.loads(committed(NUMBERS)).items():
        used = [*entry["names"].values(), *entry["retired"]]
        assert len(used) == len(set(used)), message
        assert min(used, default=1) > 0


@given(history=st.lists(names, max_size=5))
@bounded
def test_a_number_never_changes_its_name(history: list[list[str]]) -> None:
    """However the fields of a message come and go."""
    numbers = Numbers({})
    present: dict[str, int] = {}
    given_out: set[int] = set()

    for fields in history:
        numbers = Numbers.parsed(numbers.render())
        numbered = numbers.assign("m", fields)
        assert set(numbered.names) == set(fields)
        kept = {name: number for name, number in present.items() if name in fields}
        assert numbered.names.items() >= kept.items()
        fresh = set(numbered.names.values()) - set(kept.values())
        assert not fresh & given_out
        given_out |= fresh
        assert {*numbered.names.values(), *numbered.retired} == given_out
        present = numbered.names


def test_a_removed_field_is_reserved_and_a_new_one_gets_the_next_number() -> None:
    """The types change, the wire does not."""
    key = "core.spi.types.v1.Progress"
    before = Numbered(names={"progress": 1, "percent": 2, "message": 4}, retired=(3,))
    files = generate(Numbers({key: before}))
    text = files["core/spi/types/v1/types.proto"]
    block = text.partition("message Progress {")[2].partition("}")[0]
    assert [line.strip() for line in block.strip().splitlines()] == [
        "reserved 2, 3;",
        "double progress = 1;",
        "optional string message = 4;",
        "optional double total = 5;",
    ]


def test_a_folder_is_written_and_then_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that no longer belong there go."""
    stray = tmp_path / "core" / "old.proto"
    stray.parent.mkdir()
    stray.write_text("// gone\n", "utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    assert main(["--write", str(tmp_path)]) == 0
    assert not stray.exists()
    capsys.readouterr()
    assert main(["--check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_a_stale_folder_is_told_with_a_diff(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CI shows what is to be committed, and nothing is written."""
    shutil.copytree(COMMITTED, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "core/spi/auth/v1/auth.proto"
    stale = path.read_text("utf-8").replace("CheckPermission(", "AskPermission(")
    path.write_text(stale, "utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    assert path.read_text("utf-8") == stale
    printed = capsys.readouterr().out
    assert "-  rpc AskPermission(" in printed
    assert "+  rpc CheckPermission(" in printed


def test_the_command_needs_to_know_what_to_do() -> None:
    """Run as a program, as `make proto` does."""
    run = subprocess.run(
        [sys.executable, "-m", "spindle_spi.proto"], check=False, capture_output=True, text=True
    )
    assert run.returncode == 2
    assert "--write" in run.stderr
