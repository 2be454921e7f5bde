"""Tokens of other issuers: where their keys come from, and which of them decide."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_spi.errors import ConfigError, Unauthenticated, Unavailable
from tests.core.federation.issuer import (
    ALGORITHMS,
    SECRET,
    add_person,
    keys_of,
    resolve,
    rest,
    trusting,
)
from tests.core.heart import Heart, open_heart
from tests.support.http_server import Answered
from tests.support.identity_provider import (
    SigningKey,
    new_key,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.context import AuthenticatedContext


async def test_a_new_key_is_fetched_once_and_an_unknown_one_not_again_for_ten_seconds(
    tmp_path: Path,
) -> None:
    async with trusting(tmp_path) as (heart, provider):
        await resolve(heart, provider.token())
        provider.rotate("two")

        with pytest.raises(Unauthenticated):
            await resolve(heart, provider.token())

        assert provider.count("/jwks") == 1
        rest(heart)
        assert (await resolve(heart, provider.token())).subject.user_email == "ann@example.com"
        assert provider.count("/jwks") == 2

        provider.keys = [new_key("three"), *provider.keys]
        kid = provider.keys.pop(0)
        claims = {"iss": provider.url, "aud": "spindle-api", "exp": time.time() + 60}

        for _ in range(5):
            with pytest.raises(Unauthenticated):
                await resolve(heart, sign(claims, kid.key, "ES256", {"kid": "three"}))

        assert provider.count("/jwks") == 2


async def test_everybody_who_waits_for_keys_waits_for_one_fetch(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, provider):
        found: list[AuthenticatedContext] = []

        async def come(number: int) -> None:
            found.append(await resolve(heart, provider.token(jti=str(number))))

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(come, number)

    assert len(found) == 5
    assert provider.count("/jwks") == 1
    assert {context.subject.token_id for context in found} == {found[0].subject.token_id}


HOSTILE = [
    Answered(status=500),
    Answered(status=302, headers={"location": "http://127.0.0.1:9/jwks"}),
    Answered(body=b"<html>"),
    Answered(body=b"[]"),
    Answered(body=b"{}"),
    Answered(body=b'{"keys": {}}'),
    Answered(body=b'{"keys": []}'),
    Answered(body=b'{"keys": [1, null, "x", []]}'),
    Answered(body=b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
    Answered(body=b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}'),
    Answered(body=b'{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}'),
    Answered(body=b'{"keys": [{"kty": ["EC"]}]}'),
    Answered(body=b'{"keys": [' + b"{}," * 200 + b"{}]}"),
    Answered(body=b'{"keys": [], "x": "' + b"x" * 2_000_000 + b'"}'),
    Answered(body=b"[" * 100_000),
    Answered(body=b"\x1f\x8b\x08", headers={"content-encoding": "gzip"}),
]


async def test_the_last_good_keys_stay_whatever_comes_instead_of_new_ones(
    tmp_path: Path,
) -> None:
    async with trusting(tmp_path) as (heart, provider):
        await resolve(heart, provider.token())

        for number, raw in enumerate(HOSTILE):
            rest(heart)
            provider.raw["/jwks"] = raw
            await keys_of(heart).fetch()

            assert provider.count("/jwks") == number + 2
            heart.resolve(provider.token(jti=str(number)))


async def test_without_any_keys_a_token_cannot_be_judged(tmp_path: Path) -> None:
    """That is no fault of the caller: 503, and when to come back."""
    async with trusting(tmp_path) as (heart, provider):
        provider.raw["/jwks"] = Answered(status=500)

        with pytest.raises(Unavailable) as caught:
            await resolve(heart, provider.token())

    assert caught.value.code == "core.auth.keys_unavailable"
    assert caught.value.retry_after is not None


async def test_last_good_keys_serve_for_a_bounded_time(tmp_path: Path) -> None:
    async with trusting(tmp_path, jwks_max_age_seconds=10, jwks_stale_seconds=100) as (
        heart,
        provider,
    ):
        await resolve(heart, provider.token())
        assert not keys_of(heart).is_due()
        provider.raw["/jwks"] = Answered(status=500)
        rest(heart)
        assert keys_of(heart).is_due()
        rest(heart, 200)

        with pytest.raises(Unavailable):
            await resolve(heart, provider.token(jti="new"))


def _other_use(key: SigningKey) -> dict[str, Any]:
    return key.published() | {"use": "enc"}


def _other_algorithm(key: SigningKey) -> dict[str, Any]:
    return key.published() | {"alg": "ES512"}


def _other_operations(key: SigningKey) -> dict[str, Any]:
    return key.published() | {"key_ops": ["sign"]}


def _private(key: SigningKey) -> dict[str, Any]:
    found: dict[str, Any] = key.key.as_dict(private=True)
    return {**found, "kid": key.kid}


@pytest.mark.parametrize("spoil", [_other_use, _other_algorithm, _other_operations, _private])
async def test_a_key_for_another_use_verifies_nothing(tmp_path: Path, spoil: Any) -> None:
    async with trusting(tmp_path) as (heart, provider):
        good = new_key("good")
        document = {"keys": [good.published(), spoil(provider.keys[0])]}
        provider.raw["/jwks"] = Answered(body=json.dumps(document).encode())

        with pytest.raises(Unauthenticated):
            await resolve(heart, provider.token())

        provider.keys = [good]
        await resolve(heart, provider.token())


async def test_a_token_that_names_no_key_is_taken_where_there_is_no_choice(
    tmp_path: Path,
) -> None:
    async with trusting(tmp_path) as (heart, provider):
        await resolve(heart, provider.token({"kid": None}))
        provider.keys = [provider.keys[0], new_key("two")]
        rest(heart)
        await keys_of(heart).fetch()

        with pytest.raises(Unauthenticated):
            await resolve(heart, provider.token({"kid": None}, jti="2"))


async def test_keys_are_fetched_before_anybody_asks(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, provider):
        assert heart.core.federation is not None

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(heart.core.federation.run)

                while not keys_of(heart).is_usable():
                    await anyio.wait_all_tasks_blocked()

                group.cancel_scope.cancel()

        heart.resolve(provider.token())
        assert provider.count("/jwks") == 1


@asynccontextmanager
async def with_key(home: Path, text: str, algorithm: str) -> AsyncGenerator[Heart]:
    """A core with a key in a file."""
    (home / "key").write_text(text)
    issuer = {
        "issuer": "https://id.example.com",
        "audiences": ["spindle-api"],
        "algorithms": [algorithm],
        "key_file": "key",
    }

    async with open_heart(home, f"auth: {json.dumps({'jwt': [issuer]})}\n") as heart:
        await add_person(heart, "ann@example.com")
        await heart.core.snapshots.refresh()
        yield heart


CLAIMS: dict[str, Any] = {
    "iss": "https://id.example.com",
    "aud": "spindle-api",
    "sub": "u",
    "email": "ann@example.com",
    "exp": time.time() + 86_400,
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_public_key_may_be_in_a_file(tmp_path: Path, algorithm: str) -> None:
    key = new_key("k", algorithm)

    async with with_key(tmp_path, key.pem(), algorithm) as heart:
        heart.resolve(sign(CLAIMS, key.key, algorithm))

        with pytest.raises(Unauthenticated):
            heart.resolve(sign(CLAIMS, new_key("k", algorithm).key, algorithm))


async def test_a_shared_secret_may_be_in_a_file(tmp_path: Path) -> None:
    async with with_key(tmp_path, SECRET, "HS256") as heart:
        heart.resolve(sign(CLAIMS, SECRET.encode(), "HS256"))

        with pytest.raises(Unauthenticated):
            heart.resolve(sign(CLAIMS, SECRET[::-1].encode(), "HS256"))


@pytest.mark.parametrize(
    ("text", "algorithm", "fault"),
    [
        (new_key("k").pem(), "HS256", "HS256 needs a shared secret"),
        ("short", "HS256", "has 32 bytes at least"),
        (SECRET, "ES256", "expected a public key in PEM form"),
        (new_key("k").pem(private=True), "ES256", "not a public key for ES256"),
        (new_key("k").pem(), "RS256", "not a public key for RS256"),
        ("-----BEGIN PUBLIC KEY-----\nno\n-----END PUBLIC KEY-----", "EdDSA", "not a public key"),
        ("", "ES256", "has no value"),
    ],
)
async def test_a_key_that_does_not_fit_stops_the_start_and_is_not_shown(
    tmp_path: Path, text: str, algorithm: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault) as caught:
        async with with_key(tmp_path, text, algorithm):
            pass

    assert str(caught.value).startswith("auth.jwt[0].key_file: ")
    assert not text or text not in str(caught.value)
