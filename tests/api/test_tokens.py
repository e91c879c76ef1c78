"""Attacks on tokens: each is refused over HTTP, by a worker that takes the good token beside it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from api.checks import BASE, problem
from api.conftest import brief_node
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from caxton.protocol.access import Role
from support.credentials import ADMIN_BASE, DAY, GUARDED, SECRET, bearer, claims, token
from support.node import Node, until
from support.served_node import run_cli

ISSUER, AUDIENCE = "https://issuer.test", "caxton-nodes"
PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def text_of(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: object, payload: object, secret: bytes = SECRET.encode(), hashed: Any = hashlib.sha256) -> str:
    """A token made by hand: whatever the header says, the signature is an HMAC with `secret`."""
    head = f"{text_of(header)}.{text_of(payload)}"
    return f"{head}.{text_of(hmac.new(secret, head.encode(), hashed).digest())}"


def status(node: Node, text: str | bytes) -> int:
    given = text if isinstance(text, bytes) else text.encode("latin-1")
    answer = httpx.get(f"{node.url}{BASE}/ledger", headers={"Authorization": b"Bearer " + given})
    if answer.status_code != 200:
        problem(answer, 401, "UNAUTHORIZED")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    return answer.status_code


GOOD = claims()
HS256 = {"alg": "HS256", "typ": "JWT"}
DEEP = b"[" * 1_400 + b"]" * 1_400
ATTACKS = {
    "none": f"{text_of({'alg': 'none'})}.{text_of(GOOD)}.",
    "none with a signature": signed({"alg": "none"}, GOOD),
    "None in another case": f"{text_of({'alg': 'nOnE'})}.{text_of(GOOD)}.",
    "no signature": token().rpartition(".")[0] + ".",
    "another algorithm of the same secret": signed({"alg": "HS512"}, GOOD, hashed=hashlib.sha512),
    "said to be RS256": signed({"alg": "RS256"}, GOOD),
    "no algorithm": signed({"typ": "JWT"}, GOOD),
    "another secret": token(secret="another-secret-that-is-long-enough-0123456"),
    "empty secret": signed(HS256, GOOD, b""),
    "a changed claim": ".".join([(p := token(Role.VIEWER).split("."))[0], text_of(claims()), p[2]]),
    "kid a path": signed({**HS256, "kid": "../../../../dev/null"}, GOOD),
    "kid SQL": signed({**HS256, "kid": "x' UNION SELECT 'key'; --"}, GOOD),
    "kid a list": signed({**HS256, "kid": ["a"]}, GOOD),
    "kid long": signed({**HS256, "kid": "k" * 2_000}, GOOD),
    "jku": signed({**HS256, "jku": "http://127.0.0.1:1/keys"}, GOOD),
    "x5u": signed({**HS256, "x5u": "http://127.0.0.1:1/chain"}, GOOD),
    "jwk": signed({**HS256, "jwk": {"kty": "oct", "k": text_of(b"k" * 32)}}, GOOD, b"k" * 32),
    "x5c": signed({**HS256, "x5c": ["AAAA"]}, GOOD),
    "crit": signed({**HS256, "crit": ["exp"], "exp": 1}, GOOD),
    "b64": signed({**HS256, "b64": False, "crit": ["b64"]}, GOOD),
    "zip": signed({**HS256, "zip": "DEF"}, GOOD),
    "encrypted": signed({**HS256, "enc": "A256GCM"}, GOOD) + ".a.b",
    "another type": signed({"alg": "HS256", "typ": "JWE"}, GOOD),
    "header a list": signed(["HS256"], GOOD),
    "header deep": signed(DEEP, GOOD),
    "header no JSON": signed(b"\xff\xfe", GOOD),
    "claims deep": signed(HS256, DEEP),
    "claims a list": signed(HS256, [1]),
    "claims no JSON": signed(HS256, b"\xff"),
    "expired": token(exp=time.time() - 60),
    "not yet": token(nbf=time.time() + DAY),
    "from the future": token(iat=time.time() + DAY),
    "no exp": token(exp=None),
    "exp a text": token(exp="2999999999"),
    "exp infinite": signed(HS256, json.dumps({**GOOD, "exp": float("inf")}).encode()),
    "exp no number": signed(HS256, json.dumps({**GOOD, "exp": float("nan")}).encode()),
    "exp true": token(exp=True),
    "nbf a list": token(nbf=[1]),
    "no sub": token(sub=None),
    "sub empty": token(sub=""),
    "sub with a blank": token(sub="a b"),
    "sub not ASCII": token(sub="Ünal"),
    "sub with a line": token(sub="a\r\nX-Evil: 1"),
    "sub a number": token(sub=5),
    "no jti": token(jti=None),
    "jti empty": token(jti=""),
    "jti a number": token(jti=5),
    "jti long": token(jti="j" * 300),
    "no role": token(role=None),
    "role unknown": token("root"),
    "role in capitals": token("ADMIN"),
    "role a list": token(["admin"]),
    "client of no agents": token(Role.AGENT_CLIENT, agents=None),
    "client of an empty list": token(Role.AGENT_CLIENT, agents=[]),
    "agents a text": token(Role.AGENT_CLIENT, agents="*"),
    "agents of a viewer": token(Role.VIEWER, agents=["*"]),
    "agents with a path": token(Role.AGENT_CLIENT, agents=["../*", "a\0"]),
    "namespace with a path": token(namespace="../other"),
    "namespace empty": token(namespace=""),
    "aud of somebody": token(aud="somebody"),
    "too long": token(padding="x" * 4_096),
    "one part": "abc",
    "five parts": "a.b.c.d.e",
    "padded": token() + "=",
    "two of them": f"{token()}, {token()}",
    "not ASCII": b"\xc3\xa9.\xc3\xa9.\xc3\xa9",
    "not UTF-8": b"\xff.\xff.\xff",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(guarded: Node, name: str) -> None:
    assert status(guarded, ATTACKS[name]) == 401


def test_nobody_died_of_them(guarded: Node) -> None:
    assert status(guarded, token()) == 200
    assert "Traceback" not in guarded.log.read_text()


@pytest.mark.parametrize(
    "text",
    [
        signed({**HS256, "kid": "2026-11.key_1"}, GOOD),
        signed({"alg": "HS256", "typ": "at+jwt"}, GOOD),
        signed({"alg": "HS256"}, {**GOOD, "anything": {"else": [1]}}),
    ],
    ids=["kid", "type", "claims"],
)
def test_what_does_no_harm_is_taken(guarded: Node, text: str) -> None:
    assert status(guarded, text) == 200


def test_a_clock_may_be_a_little_off(guarded: Node) -> None:
    for text in (token(exp=time.time() - 3), token(nbf=time.time() + 5, iat=time.time() + 5)):
        assert status(guarded, text) == 200


def test_a_token_that_was_taken_ends_all_the_same(guarded: Node) -> None:
    """The leeway of 10 s is behind it."""
    text = token(exp=time.time() - 8)
    assert status(guarded, text) == 200
    until(lambda: status(guarded, text) == 401, 10, "the token has ended")


def test_a_token_is_revoked_by_its_id(guarded: Node) -> None:
    text = token(Role.VIEWER, jti="the-one")
    assert status(guarded, text) == 200
    revoke = f"{guarded.admin_url}{ADMIN_BASE}/tokens/the-one"
    problem(httpx.delete(revoke, headers=bearer(Role.OPERATOR)), 403, "FORBIDDEN")
    first = httpx.delete(revoke, headers=bearer()).json()
    assert httpx.delete(revoke, headers=bearer()).json() == first
    until(lambda: status(guarded, text) == 401, 5, "the token is refused")
    assert status(guarded, token(Role.VIEWER, jti="the-other")) == 200
    listed = httpx.get(f"{guarded.admin_url}{ADMIN_BASE}/tokens", headers=bearer()).json()["items"]
    assert "the-one" in [item["jti"] for item in listed]


# ---- keys that are somebody else's ---------------------------------------------------------------------


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def by(key: PrivateKey, algorithm: str, **more: Any) -> str:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return jwt.encode(claims(**{"iss": ISSUER, "aud": AUDIENCE, **more}), pem, algorithm)


@pytest.fixture(scope="module", params=["RS256", "EdDSA"])
def issued(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Node, PrivateKey, str]]:
    """A node that has a public key only; it has a secret too, which opens nothing."""
    algorithm: str = request.param
    key: PrivateKey = ed25519.Ed25519PrivateKey.generate()
    if algorithm == "RS256":
        key = rsa.generate_private_key(65_537, 2_048)
    path: Path = tmp_path_factory.mktemp("key") / "issuer.pem"
    path.write_bytes(public_pem(key))
    names = {"jwt_algorithm": algorithm, "jwt_public_key_path": str(path), "jwt_issuer": ISSUER}
    with brief_node(security={**GUARDED, **names, "jwt_audience": AUDIENCE}) as made:
        yield made, key, algorithm


def test_the_issuers_tokens_and_no_others(issued: tuple[Node, PrivateKey, str]) -> None:
    node, key, algorithm = issued
    other: PrivateKey = ed25519.Ed25519PrivateKey.generate()
    if algorithm == "RS256":
        other = rsa.generate_private_key(65_537, 2_048)
    refused = {
        "of another key": by(other, algorithm),
        "of another issuer": by(key, algorithm, iss="https://other.test"),
        "of no issuer": by(key, algorithm, iss=None),
        "for another audience": by(key, algorithm, aud=["somebody", "else"]),
        "for no audience": by(key, algorithm, aud=None),
        "of the secret that the node has too": token(iss=ISSUER, aud=AUDIENCE),
        "of another type of key": by(
            ed25519.Ed25519PrivateKey.generate() if algorithm == "RS256" else rsa.generate_private_key(65_537, 2_048),
            "EdDSA" if algorithm == "RS256" else "RS256",
        ),
    }
    assert status(node, by(key, algorithm)) == 200
    assert status(node, by(key, algorithm, aud=["somebody", AUDIENCE])) == 200
    assert {name: status(node, text) for name, text in refused.items()} == dict.fromkeys(refused, 401)


def test_the_public_key_is_no_secret(issued: tuple[Node, PrivateKey, str]) -> None:
    """Algorithm confusion: an HMAC with what everybody may know, in every form of it."""
    node, key, algorithm = issued
    payload = claims(iss=ISSUER, aud=AUDIENCE)
    pem = public_pem(key)
    raw = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), pem.replace(b"\n", b"\r\n"), raw):
        for said in ("HS256", algorithm):
            assert status(node, signed({"alg": said, "typ": "JWT"}, payload, secret)) == 401


def test_such_a_node_signs_none_itself(issued: tuple[Node, PrivateKey, str]) -> None:
    node, _, _ = issued
    done = run_cli("--config", str(node.config_file), "token", "create", "--subject", "me", "--role", "viewer")
    assert (done.returncode, done.stdout, "CONFIG_INVALID" in done.stderr) == (1, "", True)
