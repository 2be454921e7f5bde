"""`/auth`: people log in at the identity provider, come back with a session, and log out."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spindle.api.response import Response
from spindle.api.routing import ApiRoute
from spindle.audit import AuditEntry
from spindle.config.auth import LOGIN_CALLBACK, session_cookie
from spindle.ingress.cookies import cookie_of
from spindle.ingress.requests import read_headers
from spindle_spi.errors import FailedPrecondition, NotFound, PermissionDenied, Unauthenticated
from spindle_spi.ingress import ANY_CALLER, PUBLIC

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.core import Core
    from spindle.federation.oidc import OidcLogin

_LOGIN = "/auth/login"
_LOGOUT = "/auth/logout"
_SECONDS = 600
_ANSWERS = ("state", "code", "iss", "error", "error_description", "error_uri", "session_state")


async def _begin(core: Core, request: Request) -> Response:
    login = _login(core, _LOGIN)
    request.check_query("return_to")
    begun = await login.begin(request.query.get("return_to"))
    cookie = _cookie(
        core, _begun_cookie(core), begun.cookie.reveal(), path=LOGIN_CALLBACK, seconds=_SECONDS
    )
    return Response(status=302, headers={"location": begun.url}, cookies=(cookie,))


async def _finish(core: Core, request: Request) -> Response:
    login = _login(core, LOGIN_CALLBACK)
    # Providers add parameters of their own; only those known are looked at.
    query = {name: value for name, value in request.query.items() if name in _ANSWERS}
    name = _begun_cookie(core)

    try:
        done = await login.finish(query, cookie_of(read_headers(request.scope), name))
    except (Unauthenticated, PermissionDenied) as exc:
        core.audit.note(
            request.context,
            AuditEntry(action="auth.login", target="oidc", decision="denied", reason=exc.code),
        )
        raise

    await core.audit.record(request.context, AuditEntry(action="auth.login", target=done.email))
    cookies = (
        _cookie(core, _session_cookie(core), done.session.reveal()),
        _cookie(core, name, "", path=LOGIN_CALLBACK, seconds=0),
    )
    return Response(status=303, headers={"location": done.return_to}, cookies=cookies)


async def _end(core: Core, request: Request) -> Response:
    _login(core, _LOGOUT)
    request.check_query()
    subject = request.context.subject
    sessions = None if core.federation is None else core.federation.sessions

    if sessions is None or subject.token_id is None or not sessions.is_current(subject):
        raise FailedPrecondition(
            "This caller has no login session: a token is revoked with `spindle token revoke`.",
            code="core.login.no_session",
        )

    await core.audit.record(
        request.context, AuditEntry(action="auth.logout", target=subject.user_email or "")
    )
    await sessions.end(subject.token_id)
    return Response(status=204, cookies=(_cookie(core, _session_cookie(core), "", seconds=0),))


def _login(core: Core, path: str) -> OidcLogin:
    login = None if core.federation is None else core.federation.login

    if login is None:
        # Where nobody logs in there is no such path.
        raise NotFound(f"There is nothing at {path}.", code="core.path_unknown")

    return login


def _session_cookie(core: Core) -> str:
    return session_cookie(core.settings.auth) or ""


def _begun_cookie(core: Core) -> str:
    return "__Secure-spindle_login" if _is_secure(core) else "spindle_login"


def _is_secure(core: Core) -> bool:
    oidc = core.settings.auth.oidc
    return oidc is not None and urlsplit(oidc.redirect_url).scheme == "https"


def _cookie(
    core: Core, name: str, value: str, *, path: str = "/", seconds: int | None = None
) -> str:
    parts = [f"{name}={value}", f"Path={path}", "HttpOnly", "SameSite=Lax"]

    if seconds is not None:
        parts.append(f"Max-Age={seconds}")

    if _is_secure(core):
        parts.append("Secure")

    return "; ".join(parts)


ROUTES = (
    ApiRoute(method="GET", path=_LOGIN, permission=PUBLIC, answer=_begin),
    ApiRoute(method="GET", path=LOGIN_CALLBACK, permission=PUBLIC, answer=_finish),
    ApiRoute(method="POST", path=_LOGOUT, permission=ANY_CALLER, answer=_end),
)
