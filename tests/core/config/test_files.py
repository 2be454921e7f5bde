"""Several files as one configuration: order, merging, what contradicts, and where it stands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from spindle.config import Settings, load_settings
from spindle_spi.errors import ConfigError
from spindle_spi.records import ProviderSpec
from tests.core.cli.runner import run
from tests.core.config.written import HOME

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = """
llm:
  services:
    one: {urls: ["http://a/v1", "http://b/v1"], models: [{name: m}], upstream: {verify_cert: true}}
    two: {urls: ["http://c/v1"]}
"""


def write(directory: Path, **files: str) -> list[Path]:
    """Write files, `name=text`; returns them in the order given."""
    directory.mkdir(exist_ok=True)
    paths = [directory / f"{name}.yaml" for name in files]

    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)

    return paths


def merged(*paths: Path) -> Settings:
    """Load these files."""
    return load_settings(paths, home=HOME, environ={})


def refused(*paths: Path) -> tuple[str, ...]:
    """The faults of these files."""
    with pytest.raises(ConfigError) as caught:
        merged(*paths)

    return caught.value.faults


@pytest.mark.requirement("002-7-config")
def test_later_files_win_and_mappings_are_merged_key_by_key(tmp_path: Path) -> None:
    """Connectors, servers and settings of all files are there; lists are replaced as a whole."""
    files = write(
        tmp_path,
        base=SERVICES + "server: {port: 1, host: localhost}\n",
        more="llm: {services: {one: {urls: [http://z/v1], upstream: {short_timeout_sec: 9}}}}\n"
        "servers: {desk: {models: [one~m]}}\n",
        site="server: {port: 2}\n",
    )
    settings = merged(*files)
    specs = {record.name: record.spec for record in settings.declared}
    one = specs["one"]

    assert isinstance(one, ProviderSpec)
    assert (one.urls, one.short_timeout, one.verify_cert) == (("http://z/v1",), 9.0, True)
    assert {"two", "one~m", "desk"} <= specs.keys()
    assert (settings.server.port, settings.server.host) == (2, "localhost")
    assert (settings.path, settings.paths) == (files[0], tuple(files))


@pytest.mark.requirement("002-7-config")
def test_what_overrides_an_earlier_file_is_noted_with_both_places(tmp_path: Path) -> None:
    """Without the values, which may be secrets; saying the same again is no override."""
    files = write(
        tmp_path,
        base="environment: development\nserver:\n  host: localhost\n  port: 1\n",
        site="environment: development\nserver:\n  port: 2\n  start_seconds: 3\n",
    )

    assert merged(*files).notes == (
        "server.port: replaces what base.yaml, line 4 says (site.yaml, line 3)",
    )


@pytest.mark.requirement("002-7-config")
@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        (
            "server: {port: 1}",
            "server: [1]",
            "server: is a list here, but a mapping in a.yaml, line 1 (b.yaml, line 2)",
        ),
        (
            "features: {x: true}",
            "features: {x: {y: true}}",
            "features.x: is a mapping here, but a single value in a.yaml, line 1 (b.yaml, line 2)",
        ),
        (
            "modules: {disabled: [a]}",
            "modules: {disabled: a}",
            "modules.disabled: is a single value here, but a list in a.yaml, line 1 (b.yaml, line",
        ),
    ],
)
def test_two_kinds_of_value_for_one_key_are_a_fault(
    tmp_path: Path, first: str, second: str, fault: str
) -> None:
    """One of the two is a mistake, and nobody can tell which."""
    (found,) = refused(*write(tmp_path, a=first, b=f"\n{second}"))

    assert found.startswith(fault)


@pytest.mark.requirement("002-7-config")
def test_a_fault_names_the_file_and_line_the_value_comes_from(tmp_path: Path) -> None:
    """Also inside a list that replaced another, and where an earlier file has the same key."""
    files = write(
        tmp_path,
        a="server:\n  port: 1\nllm: {services: {one: {urls: [http://a], models:\n"
        "  [{name: m, context_window: 1}]}}}",
        b="\n\nserver:\n  port: many\nllm:\n  services:\n    one:\n      models:\n"
        "        - context_window: 0\n          name: m\nservers: {s: {tools: [x]}}",
    )
    found = refused(*files)

    assert found[0] == "server.port: is a string; expected an integer (b.yaml, line 4)"
    assert found[1].startswith("llm.services.one.models[0].context_window: 0 is not allowed")
    assert found[1].endswith("(b.yaml, line 9)")
    assert "servers.s.tools" in found[2]
    assert found[2].endswith("(b.yaml, line 11)")


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """By their whole paths."""
    one = write(tmp_path / "one", spindle="server: {port: 1}")
    two = write(tmp_path / "two", spindle="server: {port: x}")
    (found,) = refused(*one, *two)

    assert found.endswith(f"({two[0]}, line 1)")


def test_an_empty_section_takes_nothing_back_and_a_null_does(tmp_path: Path) -> None:
    """`server:` with everything commented out says nothing; `port:` alone means the default."""
    files = write(
        tmp_path, a="server: {port: 1, host: localhost}", b="server:", c="server: {port: }", d=""
    )

    assert merged(*files[:2]).server.port == 1
    assert (merged(*files).server.port, merged(*files).server.host) == (8080, "localhost")


@pytest.mark.requirement("002-7-config")
def test_a_directory_is_its_files_in_name_order(tmp_path: Path) -> None:
    """Hidden ones and other endings are left out; a near miss is said."""
    write(tmp_path / "conf", b="server: {port: 2}", a="server: {port: 1, host: localhost}")
    (tmp_path / "conf" / "z.yml").write_text("server: {port: 3}")
    (tmp_path / "conf" / ".z.yaml").write_text("server: {port: 4}")
    (tmp_path / "conf" / "z.yaml").mkdir()
    settings = merged(tmp_path / "conf")

    assert (settings.server.port, settings.server.host) == (2, "localhost")
    assert any("z.yml is not read" in note for note in settings.notes)


def test_a_directory_without_files_or_with_far_too_many_is_a_fault(tmp_path: Path) -> None:
    """Named by the operator, so there should be something; and not without bounds."""
    (tmp_path / "none").mkdir()
    write(tmp_path / "many", **{f"f{n}": "" for n in range(101)})

    assert "has no configuration in it; expected files *.yaml" in refused(tmp_path / "none")[0]
    assert "is spread over 101 files" in refused(tmp_path / "many")[0]


def test_one_bad_file_hides_no_faults_of_the_others(tmp_path: Path) -> None:
    """All of them at once, those of the files before and after."""
    found = refused(*write(tmp_path, a="server: {port: x}", b="[", c="nothing: {}"))

    assert len(found) == 3
    assert "b.yaml is not YAML" in found[0]


def test_a_relative_file_starts_at_the_file_that_names_it(tmp_path: Path) -> None:
    """Key files lie beside the configuration file they belong to."""
    text = "llm: {services: {NAME: {urls: [http://a], api_key_file: key}}}"
    one = write(tmp_path / "one", one=text.replace("NAME", "one"))
    two = write(tmp_path / "two", two=text.replace("NAME", "two"))
    sources = merged(*one, *two).secret_sources

    assert sources["llm.services.one.api_key"].file == tmp_path / "one" / "key"
    assert sources["llm.services.two.api_key"].file == tmp_path / "two" / "key"


def test_the_same_words_in_another_directory_are_another_file(tmp_path: Path) -> None:
    """The later file's key file is meant."""
    text = "llm: {services: {one: {urls: [http://a], api_key_file: key}}}"
    files = [*write(tmp_path / "one", a=text), *write(tmp_path / "two", b=text)]

    assert merged(*files).secret_sources["llm.services.one.api_key"].file == tmp_path / "two/key"


def test_the_environment_stands_over_all_files(tmp_path: Path) -> None:
    """And forgets where the files said something that it replaces."""
    files = write(tmp_path, a="server: {allowed_hosts: [{a: 1}]}", b="server: {port: 1}")
    environ = {"SPINDLE__SERVER__ALLOWED_HOSTS": "[5]", "SPINDLE__SERVER__PORT": "7"}

    with pytest.raises(ConfigError) as caught:
        load_settings(files, home=HOME, environ=environ)

    assert "(SPINDLE__SERVER__ALLOWED_HOSTS)" in caught.value.faults[0]
    del environ["SPINDLE__SERVER__ALLOWED_HOSTS"]
    assert load_settings(files[1], home=HOME, environ=environ).server.port == 7


@pytest.mark.parametrize("way", ["option", "variable"])
def test_the_command_line_takes_several_files(tmp_path: Path, way: str) -> None:
    """`--config` repeated, or SPINDLE_CONFIG with a list as PATH has it."""
    files = write(tmp_path, a="server: {port: 1}", b="server: {port: 2}")
    options = [word for file in files for word in ("--config", str(file))]
    variable = {"SPINDLE_CONFIG": os.pathsep.join(map(str, files))}
    home = ("--home", str(tmp_path))
    checked = (
        run("config", "check", *options, *home)
        if way == "option"
        else run("config", "check", *home, env=variable)
    )

    assert checked.code == 0, checked.stderr
    assert "127.0.0.1:2" in checked.stdout
    assert "note         server.port: replaces what a.yaml, line 1 says" in checked.stdout
