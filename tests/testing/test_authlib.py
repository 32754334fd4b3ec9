"""The token endpoint beside another hand's reading of RFC 7523: Authlib's authorization server.

Both hold the same certificate and are given the same assertions. Where they part, the table of differences says why.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt
import pytest
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7523 import JWTBearerGrant
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import RSAKey

from sf_integration.salesforce import assertion
from sf_integration.testing import Org, StandIn

from .conftest import GRANT_TYPE, Caller

LOGIN_URL = "https://login.salesforce.com"


# Authlib's server, with no more of its own than Authlib asks for.


class Application(ClientMixin):
    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == GRANT_TYPE


class FormRequest(OAuth2Request):
    def __init__(self, body: str) -> None:
        super().__init__("POST", "https://reference.example/token")
        self._parameters = dict(parse_qsl(body))
        self.payload = BasicOAuth2Payload(self._parameters)

    @property
    def form(self) -> dict[str, str]:
        return self._parameters


class Reference(AuthorizationServer):
    """Authlib's token endpoint for one app and one user."""

    def __init__(self, org: Org) -> None:
        super().__init__()
        certificate = x509.load_pem_x509_certificate(org.app.certificate_pem.encode())
        public_key = certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        # RFC 7517 section 4.4: the key is meant for this algorithm and no other.
        key = RSAKey.import_key(public_key, {"alg": "RS256"})
        consumer_key, username, own_url = org.app.consumer_key, org.user.username, org.url
        application = Application()

        class Grant(JWTBearerGrant):
            # RFC 7523 section 3 asks for all four.
            CLAIMS_OPTIONS = {name: {"essential": True} for name in ("iss", "sub", "aud", "exp")}

            def resolve_issuer_client(self, issuer: str) -> Application | None:
                return application if issuer == consumer_key else None

            def resolve_client_public_key(self, client: Application) -> RSAKey:
                return key

            def authenticate_user(self, subject: str) -> str | None:
                return username if subject == username else None

            def get_audiences(self) -> list[str]:
                return [own_url, LOGIN_URL]

            def has_granted_permission(self, client: Application, user: str) -> bool:
                return True

        self.register_grant(Grant)
        self.register_token_generator("default", lambda **_: {"access_token": "yes", "token_type": "Bearer"})

    def create_oauth2_request(self, request: str) -> FormRequest:
        return FormRequest(request)

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any]:
        return status, body

    def save_token(self, token: Any, request: Any) -> None:
        """Nobody uses it."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""


# Assertions, put together by hand: no JWT library gets in the way of a malformed one.


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def as_json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


@dataclass
class Forge:
    caller: Caller
    key: rsa.RSAPrivateKey
    other_key: rsa.RSAPrivateKey

    def header(self, **changed: Any) -> dict[str, Any]:
        header = {"alg": "RS256", "typ": "JWT"} | changed
        return {name: value for name, value in header.items() if value is not None}

    def signed(
        self,
        payload: Any = None,
        header: Any = None,
        key: rsa.RSAPrivateKey | None = None,
        hash_: hashes.HashAlgorithm | None = None,
        padding_: Any = None,
    ) -> str:
        """A compact JWS; `payload` and `header` may be any JSON or bytes."""
        first = encoded(as_json(self.header() if header is None else header))
        second = encoded(as_json(self.caller.claims() if payload is None else payload))
        return self.sealed(f"{first}.{second}", key, hash_, padding_)

    def sealed(
        self,
        signing_input: str,
        key: rsa.RSAPrivateKey | None = None,
        hash_: hashes.HashAlgorithm | None = None,
        padding_: Any = None,
    ) -> str:
        """What is signed stays as it stands, well-formed or not."""
        signer = key or self.key
        signature = signer.sign(
            signing_input.encode(), padding_ or padding.PKCS1v15(), hash_ or hashes.SHA256()
        )
        return f"{signing_input}.{encoded(signature)}"

    def claiming(self, **changed: Any) -> str:
        """Rightly signed claims; None takes one away."""
        return self.signed(self.caller.claims(**changed))

    def with_claim(self, name: str, json_text: str) -> str:
        """Rightly signed claims, one of them given as JSON text."""
        others = json.dumps(self.caller.claims(**{name: None}))
        return self.signed(f'{others[:-1]}, "{name}": {json_text}}}'.encode())

    def by_secret(self, secret: str) -> str:
        """Keyed with what everybody knows: the classic confusion of algorithms."""
        signing_input = (
            f"{encoded(as_json(self.header(alg='HS256')))}.{encoded(as_json(self.caller.claims()))}"
        )
        mac = hmac.HMAC(secret.encode(), hashes.SHA256())
        mac.update(signing_input.encode())
        return f"{signing_input}.{encoded(mac.finalize())}"

    def replaced(self, place: int, change: Callable[[str], str]) -> str:
        """A good assertion with one of its three segments changed after signing."""
        segments = self.signed().split(".")
        segments[place] = change(segments[place])
        return ".".join(segments)

    def public_key_pem(self) -> str:
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return public.decode()

    def bringing_its_own_key(self) -> str:
        """Signed by somebody else, whose public key is in the header (RFC 7515 section 4.1.3)."""
        own = jwt.algorithms.RSAAlgorithm.to_jwk(self.other_key.public_key(), as_dict=True)
        return self.signed(header=self.header(jwk=own), key=self.other_key)

    def by_curve(self) -> str:
        signing_input = (
            f"{encoded(as_json(self.header(alg='ES256')))}.{encoded(as_json(self.caller.claims()))}"
        )
        signature = ec.generate_private_key(ec.SECP256R1()).sign(
            signing_input.encode(), ec.ECDSA(hashes.SHA256())
        )
        return f"{signing_input}.{encoded(signature)}"

    def in_json(self) -> str:
        """The JSON form of a JWS (RFC 7515 section 7.2), which a token endpoint doesn't take."""
        first, second, third = self.signed().split(".")
        return json.dumps({"protected": first, "payload": second, "signature": third})


@pytest.fixture(scope="module")
def server(key_pair: tuple[str, str]) -> Iterator[StandIn]:
    """One for all of them: an assertion leaves nothing behind that the next would notice."""
    with StandIn(certificate_pem=key_pair[1], private_key_pem=key_pair[0]) as server:
        yield server


@pytest.fixture(scope="module")
def keys(key_pair: tuple[str, str], other_key_pair: tuple[str, str]) -> list[Any]:
    return [load_pem_private_key(pem.encode(), None) for pem in (key_pair[0], other_key_pair[0])]


@pytest.fixture
def forge(caller: Caller, keys: list[Any]) -> Forge:
    return Forge(caller, *keys)


@dataclass(frozen=True)
class Verdicts:
    stand_in: bool
    authlib: bool


@pytest.fixture
def judged(caller: Caller, org: Org) -> Callable[[str], Verdicts]:
    """What each of the two says to an assertion: True is a token, False a refusal in OAuth's shape."""
    reference = Reference(org)

    def judge(text: str) -> Verdicts:
        form = {"grant_type": GRANT_TYPE, "assertion": text}
        answer = caller.post_token(form)
        status, body = reference.create_token_response(urlencode(form))
        for code, fields in ((answer.status_code, answer.json()), (status, dict(body))):
            assert code in (200, 400)
            assert ("access_token" in fields) == (code == 200)
            assert ("error" in fields) == (code == 400)
        return Verdicts(answer.status_code == 200, status == 200)

    return judge


BOTH_ACCEPT, BOTH_REFUSE = Verdicts(True, True), Verdicts(False, False)


@pytest.mark.parametrize("audience", ["", LOGIN_URL], ids=["My Domain", "login host"])
def test_our_assertions_are_accepted_by_both(
    judged: Callable[[str], Verdicts], forge: Forge, org: Org, audience: str
):
    claims = assertion.claims(
        consumer_key=org.app.consumer_key,
        username=org.user.username,
        audience=audience or org.url,
        now=time.time(),
    )

    assert judged(assertion.sign(claims, forge.key)) == BOTH_ACCEPT


def changed_character(segment: str) -> str:
    middle = len(segment) // 2
    return segment[:middle] + ("A" if segment[middle] != "A" else "B") + segment[middle + 1 :]


def odd_claims(forge: Forge) -> bytes:
    """Claims of a length that base64 pads."""
    text = as_json(forge.caller.claims())
    return text if len(text) % 3 else text + b" "


def now() -> int:
    return int(time.time())


Make = Callable[[Forge], str]

ACCEPTED: dict[str, Make] = {
    "as it should be": lambda forge: forge.signed(),
    "no typ": lambda forge: forge.signed(header=forge.header(typ=None)),
    "a kid nobody knows": lambda forge: forge.signed(header=forge.header(kid="7")),
    "claims nobody asked for": lambda forge: forge.claiming(alg="RS256", colour="blue", iat=now(), jti="a"),
    "blanks in the JSON": lambda forge: forge.signed(json.dumps(forge.caller.claims(), indent=2).encode()),
    "exp in half seconds": lambda forge: forge.claiming(exp=time.time() + 60.5),
    "exp in an hour": lambda forge: forge.claiming(exp=now() + 3600),
    "exp in milliseconds, as the Salesforce CLI sends it": lambda forge: forge.claiming(
        exp=now() * 1000 + 300
    ),
    "exp just passed, as CumulusCI sends it": lambda forge: forge.claiming(exp=now() - 2),
}

TAMPERED: dict[str, Make] = {
    # the signature
    "payload changed": lambda forge: forge.replaced(1, changed_character),
    "payload of another": lambda forge: forge.replaced(
        1, lambda _: forge.claiming(sub="victim@x.example").split(".")[1]
    ),
    "header changed": lambda forge: forge.replaced(0, lambda _: encoded(as_json(forge.header(typ="at+jwt")))),
    "signature changed": lambda forge: forge.replaced(2, changed_character),
    "signature empty": lambda forge: forge.replaced(2, lambda _: ""),
    "signature shortened": lambda forge: forge.replaced(2, lambda segment: segment[:-4]),
    "signature of another assertion": lambda forge: forge.replaced(
        2, lambda _: forge.claiming(jti="another").split(".")[2]
    ),
    "other key": lambda forge: forge.signed(key=forge.other_key),
    "other key, brought along": Forge.bringing_its_own_key,
    # the algorithm
    "alg none": lambda forge: forge.signed(header=forge.header(alg="none")).rpartition(".")[0] + ".",
    "alg none, yet signed": lambda forge: forge.signed(header=forge.header(alg="none")),
    "alg missing": lambda forge: forge.signed(header=forge.header(alg=None)),
    "alg in small letters": lambda forge: forge.signed(header=forge.header(alg="rs256")),
    "alg a number": lambda forge: forge.signed(header=forge.header(alg=256)),
    "alg a list": lambda forge: forge.signed(header=forge.header(alg=["RS256"])),
    "HS256 with the public key": lambda forge: forge.by_secret(forge.public_key_pem()),
    "HS256 with the certificate": lambda forge: forge.by_secret(forge.caller.app.certificate_pem),
    "RS384": lambda forge: forge.signed(header=forge.header(alg="RS384"), hash_=hashes.SHA384()),
    "RS512": lambda forge: forge.signed(header=forge.header(alg="RS512"), hash_=hashes.SHA512()),
    "RS256 over SHA-512": lambda forge: forge.signed(hash_=hashes.SHA512()),
    "PS256": lambda forge: forge.signed(
        header=forge.header(alg="PS256"),
        padding_=padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH),
    ),
    "ES256": Forge.by_curve,
    # the header
    "header no JSON": lambda forge: forge.signed(header=b"RS256"),
    "header a list": lambda forge: forge.signed(header=["RS256"]),
    "header empty": lambda forge: forge.sealed("." + forge.signed().split(".")[1]),
    "header asks for what nobody knows": lambda forge: forge.signed(
        header=forge.header(crit=["colour"], colour="blue")
    ),
    "header asks for a payload elsewhere": lambda forge: forge.signed(
        header=forge.header(b64=False, crit=["b64"])
    ),
    # the time
    "expired an hour ago": lambda forge: forge.claiming(exp=now() - 3600),
    "expired ten minutes ago": lambda forge: forge.claiming(exp=now() - 600),
    "expired in 1970": lambda forge: forge.claiming(exp=0),
    "exp before 1970": lambda forge: forge.claiming(exp=-1),
    "exp missing": lambda forge: forge.claiming(exp=None),
    "exp null": lambda forge: forge.with_claim("exp", "null"),
    "exp true": lambda forge: forge.claiming(exp=True),
    "exp a word": lambda forge: forge.claiming(exp="soon"),
    "exp a date": lambda forge: forge.claiming(exp="2099-01-01T00:00:00Z"),
    "exp a list": lambda forge: forge.claiming(exp=[now() + 180]),
    "exp not a number": lambda forge: forge.with_claim("exp", "NaN"),
    "exp not a number, as text": lambda forge: forge.claiming(exp="nan"),
    "exp infinite": lambda forge: forge.with_claim("exp", "Infinity"),
    "exp beyond any float": lambda forge: forge.with_claim("exp", "1e999"),
    "exp infinite, as text": lambda forge: forge.claiming(exp="inf"),
    # the audience
    "aud missing": lambda forge: forge.claiming(aud=None),
    "aud null": lambda forge: forge.with_claim("aud", "null"),
    "aud empty": lambda forge: forge.claiming(aud=""),
    "aud an empty list": lambda forge: forge.claiming(aud=[]),
    "aud somebody else's list": lambda forge: forge.claiming(aud=["https://elsewhere.example"]),
    "aud a number": lambda forge: forge.claiming(aud=1),
    "aud another org": lambda forge: forge.claiming(aud="https://elsewhere.my.salesforce.com"),
    "aud for sandboxes": lambda forge: forge.claiming(aud="https://test.salesforce.com"),
    "aud without scheme": lambda forge: forge.claiming(aud="login.salesforce.com"),
    "aud by plain http": lambda forge: forge.claiming(aud="http://login.salesforce.com"),
    "aud in capitals": lambda forge: forge.claiming(aud="HTTPS://LOGIN.SALESFORCE.COM"),
    "aud with more behind it": lambda forge: forge.claiming(aud=f"{LOGIN_URL}.evil.example"),
    "aud with a path": lambda forge: forge.claiming(aud=f"{LOGIN_URL}/services/oauth2/token"),
    # app and user
    "iss unknown": lambda forge: forge.claiming(iss="3MVG9NobodyKnowsThisKey"),
    "iss missing": lambda forge: forge.claiming(iss=None),
    "iss null": lambda forge: forge.with_claim("iss", "null"),
    "iss empty": lambda forge: forge.claiming(iss=""),
    "iss in other case": lambda forge: forge.claiming(iss=forge.caller.app.consumer_key.swapcase()),
    "iss a list": lambda forge: forge.claiming(iss=[forge.caller.app.consumer_key]),
    "iss an object": lambda forge: forge.claiming(iss={"value": forge.caller.app.consumer_key}),
    "iss and sub swapped": lambda forge: forge.claiming(
        iss=forge.caller.org.user.username, sub=forge.caller.app.consumer_key
    ),
    "sub unknown": lambda forge: forge.claiming(sub="nobody@nordhafen.example"),
    "sub missing": lambda forge: forge.claiming(sub=None),
    "sub null": lambda forge: forge.with_claim("sub", "null"),
    "sub empty": lambda forge: forge.claiming(sub=""),
    "sub with a blank": lambda forge: forge.claiming(sub=forge.caller.org.user.username + " "),
    "sub a list": lambda forge: forge.claiming(sub=[forge.caller.org.user.username]),
    "sub a number": lambda forge: forge.claiming(sub=5),
    # the payload
    "payload no JSON": lambda forge: forge.signed(b"iss=me&sub=you"),
    "payload a list": lambda forge: forge.signed(list(forge.caller.claims().items())),
    "payload a text": lambda forge: forge.signed(json.dumps(json.dumps(forge.caller.claims())).encode()),
    "payload null": lambda forge: forge.signed(b"null"),
    "payload empty": lambda forge: forge.signed(b""),
    "payload cut": lambda forge: forge.signed(as_json(forge.caller.claims())[:-1]),
    "payload twice": lambda forge: forge.signed(as_json(forge.caller.claims()) * 2),
    "payload not UTF-8": lambda forge: forge.signed(b'{"iss":"\xff"}'),
    # the segments
    "one segment": lambda forge: forge.signed().partition(".")[0],
    "two segments": lambda forge: forge.signed().rpartition(".")[0],
    "four segments": lambda forge: forge.signed() + ".e30",
    "five segments, as if encrypted": lambda forge: forge.signed() + ".e30.e30",
    "segment twice": lambda forge: forge.replaced(1, lambda segment: f"{segment}.{segment}"),
    "all of it twice": lambda forge: forge.signed() * 2,
    "two of them with a dot between": lambda forge: f"{forge.signed()}.{forge.signed()}",
    "two of them with a blank between": lambda forge: f"{forge.signed()} {forge.signed()}",
    "dot in front": lambda forge: "." + forge.signed(),
    "dot behind": lambda forge: forge.signed() + ".",
    "dots only": lambda forge: "..",
    "in JSON": Forge.in_json,
    "no assertion but the key's name": lambda forge: forge.caller.app.consumer_key,
    "a certificate": lambda forge: forge.caller.app.certificate_pem,
    # base64
    "garbage behind": lambda forge: forge.signed() + "!",
    "more signature behind": lambda forge: forge.signed() + "AAAA",
    "percent sign in it": lambda forge: forge.replaced(2, lambda segment: segment[:10] + "%" + segment[10:]),
    "line break in it": lambda forge: forge.replaced(1, lambda segment: segment[:10] + "\n" + segment[10:]),
    "letters of another script": lambda forge: forge.replaced(2, lambda segment: "é" + segment),
    "padded halfway": lambda forge: forge.replaced(2, lambda segment: segment[:8] + "==" + segment[8:]),
    "padded too much": lambda forge: forge.signed() + "====",
    "length that no bytes have": lambda forge: forge.replaced(2, lambda segment: segment + "AAA"),
    # The last of 342 characters holds two bits and four to spare: A, Q, g or w.
    "spare bits set": lambda forge: forge.replaced(
        2, lambda segment: segment[:-1] + chr(ord(segment[-1]) + 1)
    ),
    "padded": lambda forge: forge.signed() + "==",
    "padded in the payload": lambda forge: forge.sealed(
        f"{encoded(as_json(forge.header()))}.{base64.urlsafe_b64encode(odd_claims(forge)).decode()}"
    ),
    "line break behind": lambda forge: forge.signed() + "\n",
    "blank in front": lambda forge: " " + forge.signed(),
    "the other base64 alphabet": lambda forge: forge.sealed(
        forge.signed(forge.caller.claims(colour="~~~???>>>"))
        .rpartition(".")[0]
        .replace("_", "/")
        .replace("-", "+")
        + "+"
    ),
}


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=list(ACCEPTED))
def test_assertions_both_accept(judged: Callable[[str], Verdicts], forge: Forge, make: Make):
    assert judged(make(forge)) == BOTH_ACCEPT


@pytest.mark.parametrize("make", TAMPERED.values(), ids=list(TAMPERED))
def test_tampered_assertions_are_refused_by_both(
    judged: Callable[[str], Verdicts], forge: Forge, org: Org, make: Make
):
    logins = org.logins

    assert judged(make(forge)) == BOTH_REFUSE
    assert org.logins == logins


DIFFERENT: dict[str, tuple[bool, Make, str]] = {
    "exp as text": (
        True,
        lambda forge: forge.claiming(exp=str(now() + 180)),
        "RFC 7519 wants a number; Salesforce's own sample and simple-salesforce send text",
    ),
    "exp passed two minutes ago": (
        True,
        lambda forge: forge.claiming(exp=now() - 120),
        "Authlib forgives 60 s; CumulusCI's `exp` is now, so Salesforce forgives some: how much is not known",
    ),
    "exp an integer beyond any float": (
        False,
        lambda forge: forge.with_claim("exp", "9" * 400),
        "the RFC sets no limit; nobody sends it, and what Salesforce does is not known",
    ),
    "prn and no sub": (
        True,
        lambda forge: forge.claiming(prn=forge.caller.org.user.username, sub=None),
        "the claim's name before RFC 7523, which Salesforce still reads",
    ),
    "prn beside another sub": (
        True,
        lambda forge: forge.claiming(prn=forge.caller.org.user.username, sub="nobody@nordhafen.example"),
        "at Salesforce the old name wins",
    ),
    "sub in other case": (
        True,
        lambda forge: forge.claiming(sub=forge.caller.org.user.username.upper()),
        "Salesforce tells usernames apart without regard to case; RFC 7519 compares exactly",
    ),
    "aud a list that holds the right one": (
        False,
        lambda forge: forge.claiming(aud=[forge.caller.org.url]),
        "RFC 7519 allows a list; Salesforce answers `audience is invalid`",
    ),
    "aud with a slash behind": (
        True,
        lambda forge: forge.claiming(aud=f"{LOGIN_URL}/"),
        "compared as text by the RFC; the Salesforce CLI tries it with and without",
    ),
    "nbf ahead": (
        True,
        lambda forge: forge.claiming(nbf=now() + 3600),
        "a MUST of the RFC; what Salesforce does is not known, and the stand-in doesn't look at it",
    ),
    "iat ahead": (
        True,
        lambda forge: forge.claiming(iat=now() + 3600),
        "the RFC lets a server refuse it; Salesforce is seen to take `iat` and known for no check of it",
    ),
    "jti a number": (
        True,
        lambda forge: forge.claiming(jti=7),
        "text by RFC 7519; Salesforce accepts `jti` and is known for no check of its form",
    ),
    "a header field nobody knows": (
        True,
        lambda forge: forge.signed(header=forge.header(colour="blue")),
        "RFC 7515 section 4 says to ignore it; Authlib is stricter",
    ),
}


@pytest.mark.parametrize(
    ("stand_in_accepts", "make"), [case[:2] for case in DIFFERENT.values()], ids=list(DIFFERENT)
)
def test_where_salesforce_and_the_rfc_differ_the_stand_in_follows_salesforce(
    judged: Callable[[str], Verdicts], forge: Forge, stand_in_accepts: bool, make: Make
):
    assert judged(make(forge)) == Verdicts(stand_in=stand_in_accepts, authlib=not stand_in_accepts)
