"""What `auth` and `policy` mean beside their keys: checks across them, and where secrets are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from urllib.parse import urlsplit

from spindle.config.auth import AuthSettings, is_loopback_host
from spindle.config.faults import Fault, Path
from spindle.config.policy import PolicySettings
from spindle.secrets import SecretSource
from spindle_spi.secret import SecretRef

CLIENT_SECRET = SecretRef(name="auth.oidc.client_secret")
DECISION_POINT_TOKEN = SecretRef(name="policy.decision_point.token")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def issuer_key(index: int) -> SecretRef:
    """Return the reference of the key of an entry of `auth.jwt`."""
    return SecretRef(name=f"auth.jwt.{index}.key")


def auth_faults(auth: AuthSettings) -> Iterator[Fault]:
    """Return what is wrong in `auth` that single keys cannot tell."""
    seen: dict[str, int] = {}

    for index, entry in enumerate(auth.jwt):
        path: Path = ("auth", "jwt", index)
        first = seen.setdefault(entry.issuer, index)

        if first != index:
            problem = f"a second {entry.issuer!r}, the first is jwt[{first}]"
            yield Fault(path=(*path, "issuer"), problem=problem, expected="one entry per issuer")

        yield from _variable_faults((*path, "key_env_var"), entry.key_env_var)

    if auth.oidc is not None:
        path = ("auth", "oidc", "client_secret_env_var")
        yield from _variable_faults(path, auth.oidc.client_secret_env_var)

        if "openid" not in auth.oidc.scopes:
            yield Fault(
                path=("auth", "oidc", "scopes"), problem="lacks openid", expected="openid among it"
            )


def policy_faults(policy: PolicySettings, environment: str) -> Iterator[Fault]:
    """Return what is wrong in `policy` that single keys cannot tell."""
    if policy.bypass and environment == "production":
        yield Fault(
            path=("policy", "bypass"),
            problem="true, but in production nothing passes the policy gateway by",
            expected="false, or environment: development (POL-LLM-005)",
        )

    if policy.decision_point is not None:
        path = ("policy", "decision_point", "token_env_var")
        yield from _variable_faults(path, policy.decision_point.token_env_var)


def policy_warnings(policy: PolicySettings) -> Iterator[Fault]:
    """Return what of `policy` is allowed but should be known."""
    if policy.bypass:
        problem = "the decision point outside is not asked; visibility and permissions hold"
        yield Fault(path=("policy", "bypass"), problem=problem)

    point = policy.decision_point

    if point is None:
        return

    parts = urlsplit(point.url)

    if parts.scheme == "http" and not is_loopback_host(parts.hostname):
        problem = "not encrypted; whoever can change what passes there decides"
        yield Fault(path=("policy", "decision_point", "url"), problem=problem)


def federation_secrets(
    auth: AuthSettings, policy: PolicySettings, base_of: Callable[[Path], FilePath]
) -> dict[str, SecretSource]:
    """Return where the secrets of both sections may be found; a file starts where its key says."""
    sources: dict[str, SecretSource] = {}

    for index, entry in enumerate(auth.jwt):
        if entry.jwks_url is None:
            file = _file(base_of, ("auth", "jwt", index, "key_file"), entry.key_file)
            sources[issuer_key(index).name] = SecretSource(env_var=entry.key_env_var, file=file)

    oidc = auth.oidc

    if oidc is not None and (oidc.client_secret_env_var or oidc.client_secret_file):
        file = _file(base_of, ("auth", "oidc", "client_secret_file"), oidc.client_secret_file)
        sources[CLIENT_SECRET.name] = SecretSource(env_var=oidc.client_secret_env_var, file=file)

    point = policy.decision_point

    if point is not None and (point.token_env_var or point.token_file):
        file = _file(base_of, ("policy", "decision_point", "token_file"), point.token_file)
        sources[DECISION_POINT_TOKEN.name] = SecretSource(env_var=point.token_env_var, file=file)

    return sources


def _file(base_of: Callable[[Path], FilePath], path: Path, name: str | None) -> FilePath | None:
    return None if name is None else base_of(path) / name


def _variable_faults(path: Path, name: str | None) -> Iterator[Fault]:
    if name is not None and not _VARIABLE.fullmatch(name):
        # It may well be the secret itself: do not show it.
        yield Fault(path=path, problem="is not the name of an environment variable")
