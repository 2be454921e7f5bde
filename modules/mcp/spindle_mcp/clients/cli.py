"""`spindle mcp config`: what a client is told, for its configuration and nothing else on stdout."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn
from urllib.parse import urlsplit

import typer

from spindle_mcp.clients.probe import Answer, Found, ask
from spindle_mcp.clients.snippets import Circumstances, clients, filled, hints, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spindle_mcp.access import ReachGateway
    from spindle_mcp.clients.snippets import Client, Form

_DEFAULT_URL: Final = "http://127.0.0.1:8080"
_LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
_URL: Final = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/-]*)?")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """Whom to tell, and where the gateway is."""

    client: Client
    form: Form
    base: str
    server: str | None
    name: str
    token_env: str
    token_file: str

    @property
    def endpoint(self) -> str:
        part = "" if self.server is None else f"/servers/{self.server}"
        return f"{self.base}{part}/mcp"

    @property
    def is_local(self) -> bool:
        return urlsplit(self.base).hostname in _LOCAL_HOSTS

    @property
    def is_plain(self) -> bool:
        return not self.is_local and self.base.startswith("http://")

    @property
    def values(self) -> Mapping[str, str | None]:
        return {
            "url": self.endpoint,
            "base": self.base,
            "server": self.server,
            "name": self.name,
            "token_env": self.token_env,
            "token_file": self.token_file,
            "allow_http": "--allow-http" if self.is_plain else None,
        }


def config(  # noqa: PLR0913 - one parameter per option
    ctx: typer.Context,
    client: Annotated[str | None, typer.Option(help=f"Whom to tell: {', '.join(names())}.")] = None,
    form: Annotated[
        str | None, typer.Option(help="Which way of telling; the first if not said.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Address of the gateway; of the one that runs here if not said."),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Slug of a virtual server; everything if not said.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the client calls it; the slug or spindle if not said.")
    ] = None,
    token_env: Annotated[
        str, typer.Option(help="Variable that holds the token; its value is never printed.")
    ] = "SPINDLE_TOKEN",
    token_file: Annotated[
        str, typer.Option(help="File that holds the token, for clients without variables.")
    ] = "~/.spindle/mcp-token",
    check: Annotated[
        bool, typer.Option(help="Ask the gateway whether the endpoint is there.")
    ] = True,
    list_all: Annotated[bool, typer.Option("--list", help="List the clients.")] = False,
    home: Annotated[
        Path | None, typer.Option(envvar="SPINDLE_HOME", help="Where state is kept.")
    ] = None,
) -> None:
    """Print what a client needs to reach the gateway, ready to be copied or redirected.

    What else there is to know goes to standard error. No token is ever printed.
    """
    if list_all:
        print("\n".join(_listed()))
        return

    reach: ReachGateway = ctx.obj
    access = reach(home)
    found = None if url is not None else access.find()
    _check_names(server=server, name=name, token_env=token_env)
    chosen = _client(client)
    wish = _Wish(
        client=chosen,
        form=_form(client, chosen, form),
        base=_base(url or found or _DEFAULT_URL),
        server=server,
        name=name or server or "spindle",
        token_env=token_env,
        token_file=token_file,
    )
    seen = Found(answer=Answer.HERE)

    if check and url is None and found is None:
        # Whoever listens at an address nobody said is shown no token, and asked nothing.
        _say("No gateway runs here: start one with `spindle serve`, or say where it is with --url.")
    elif check:
        token = None if chosen.is_anonymous else access.environ.get(token_env)
        seen = ask(wish.endpoint, token)
        _say(_verdict(wish, seen.answer, has_token=token is not None))

    print(filled(wish.form, wish.values), end="")
    circumstances = Circumstances(
        is_local=wish.is_local, is_plain=wish.is_plain, has_oauth=seen.has_oauth
    )
    _say(wish.form.what, *hints(wish.client, wish.form, circumstances, wish.values))
    _say(*_other_forms(wish))


def _listed() -> Iterator[str]:
    width = max(map(len, clients()))

    for name, client in clients().items():
        forms = ", ".join(form.id for form in client.forms)
        yield f"{name:<{width}}  {client.title} (--form {forms})"


def _client(name: str | None) -> Client:
    known = ", ".join(clients())

    if name is None:
        _refuse(f"Say whom to tell, --client NAME; there is one of: {known}.")

    client = clients().get(name)

    if client is None:
        _refuse(f"There is no client {name!r}; there is one of: {known}.")

    return client


def _form(name: str | None, client: Client, identity: str | None) -> Form:
    form = client.form(identity)

    if form is None:
        known = ", ".join(form.id for form in client.forms)
        _refuse(f"{name} has no form {identity!r}; it has: {known}.")

    return form


def _base(url: str) -> str:
    base = url.rstrip("/")

    if not _URL.fullmatch(base):
        _refuse("--url is the gateway's address, such as https://gateway.example, and no more.")

    if urlsplit(base).path.endswith("/mcp"):
        _refuse("--url is the gateway's own address, without /mcp; --server names a part of it.")

    return base


def _check_names(*, server: str | None, name: str | None, token_env: str) -> None:
    """Let nothing into a snippet that means something else there."""
    if server is not None and not _NAME.fullmatch(server):
        _refuse("--server is a slug: letters, digits, -, _ and .")

    if name is not None and not _NAME.fullmatch(name):
        _refuse("--name is made of letters, digits, -, _ and .")

    # Whoever takes it for the token's own option must not find the token printed.
    if not _VARIABLE.fullmatch(token_env):
        _refuse("--token-env is the name of a variable, in capitals; not the token.")


def _verdict(wish: _Wish, answer: Answer, *, has_token: bool) -> str:
    """Return what to say of an answer; end the command when the endpoint is not there."""
    if answer is Answer.ABSENT:
        _refuse(
            f"There is nothing at {wish.endpoint} for this token: "
            + ("`spindle server list` names the virtual servers." if wish.server else "no MCP.")
        )

    sentences = {
        Answer.HERE: f"The endpoint is there: {wish.endpoint}",
        Answer.UNAUTHENTICATED: _without_identity(wish, has_token=has_token),
        Answer.FORBIDDEN: f"The token in {wish.token_env} may not use {wish.endpoint}: "
        "its role needs servers.use.",
        Answer.SILENT: f"No gateway answers at {wish.base}: start it, and ask again.",
        Answer.STRANGE: f"What answers at {wish.endpoint} does not speak MCP: "
        "is this the gateway's address, and is the module mcp enabled?",
    }
    return sentences[answer]


def _without_identity(wish: _Wish, *, has_token: bool) -> str:
    if wish.client.is_anonymous:
        return f"{wish.endpoint} wants a token, and {wish.client.title} sends none."

    if has_token:
        return (
            f"The gateway refuses the token in {wish.token_env}: "
            "`spindle token create` makes another."
        )

    return f"A gateway is there; to have the endpoint checked, set {wish.token_env}."


def _other_forms(wish: _Wish) -> Iterator[str]:
    for form in wish.client.forms:
        if form is not wish.form:
            yield f"There is also --form {form.id}: {form.what}"


def _say(*lines: str) -> None:
    for line in lines:
        sys.stderr.write(f"{line}\n")


def _refuse(line: str) -> NoReturn:
    _say(f"spindle mcp config: {line}")
    raise typer.Exit(1)
