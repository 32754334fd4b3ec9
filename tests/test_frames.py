"""Error trackers send the `repr` of every variable of every frame, whatever Django's own filters say. No secret is in them."""

from __future__ import annotations

import copy
import html
import pickle
import pprint
import secrets
import sys
from collections.abc import Callable, Iterator
from types import TracebackType

import pytest
from cryptography.hazmat.primitives import serialization
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import got_request_exception
from django.db import connection as database
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse
from django.views.debug import ExceptionReporter

from sf_integration import fields, forms, get_client, get_token, keystore, tokens
from sf_integration.access import SHELL
from sf_integration.forms import key_inputs
from sf_integration.models import AccessToken, SigningKey
from sf_integration.salesforce import keys, oauth, signin
from sf_integration.salesforce.secret import Secret, SecretBytes
from sf_integration.services import profiles, reencrypt
from sf_integration.services.profiles import KeyMaterial
from sf_integration.testing.django import ConnectableOrg

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

PASSPHRASE = f"correct horse {secrets.token_hex(8)}"


class Broken(Exception):
    """A bug of ours, in the middle of something."""


def broken(*_: object, **__: object) -> None:
    raise Broken


def frames(error: BaseException) -> Iterator[dict[str, object]]:
    """The variables of all frames but the tests' own, also of the errors behind the error."""
    seen: BaseException | None = error
    while seen is not None:
        at: TracebackType | None = seen.__traceback__
        while at is not None:
            if at.tb_frame.f_code.co_filename != __file__:
                yield at.tb_frame.f_locals
            at = at.tb_next
        seen = seen.__cause__ or seen.__context__


def tracker(error: BaseException) -> str:
    """As an error tracker has it: containers looked into, objects by `repr`, and one step into our own objects."""
    told = [str(error), repr(error)]
    for variables in frames(error):
        told.append(pprint.pformat(variables))
        told += [
            pprint.pformat(vars(value))
            for value in variables.values()
            if type(value).__module__.startswith("sf_integration") and hasattr(value, "__dict__")
        ]
    return "\n".join(told)


def debug_page(error: BaseException) -> str:
    """With DEBUG on, where Django's filters for sensitive variables do nothing."""
    while error.__traceback__ and error.__traceback__.tb_frame.f_code.co_filename == __file__:
        error = error.with_traceback(error.__traceback__.tb_next)
    with override_settings(DEBUG=True):
        reporter = ExceptionReporter(RequestFactory().get("/"), type(error), error, error.__traceback__)
        return reporter.get_traceback_html() + reporter.get_traceback_text()


def raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    raise AssertionError("nothing was raised")


def spellings(secret: str | bytes) -> list[str]:
    """As a `repr` may show it: whole or by its beginning, text or bytes."""
    if isinstance(secret, bytes):
        # The `repr` of bytes, by pieces that no line break of a pretty-printer cuts.
        return [
            repr(secret[start : start + 6])[2:-1] for start in (60, 90, 150, 300) if start + 6 < len(secret)
        ]
    return [secret, secret[:20], secret[-20:]] if len(secret) > 60 else [secret]


def found(secret: str | bytes, error: BaseException) -> bool:
    told = tracker(error) + debug_page(error)
    return any(spelling in told for spelling in spellings(secret))


@pytest.fixture
def pem(salesforce_org: ConnectableOrg) -> str:
    assert salesforce_org.app.private_key_pem
    return salesforce_org.app.private_key_pem


def line(pem: str) -> str:
    return pem.splitlines()[5]


def der(pem: str) -> bytes:
    return keys.to_der(serialization.load_pem_private_key(pem.encode(), None))  # type: ignore[arg-type]


def encrypted(pem: str) -> bytes:
    return serialization.load_pem_private_key(pem.encode(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    )


# ---- the search finds what is planted -------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [PASSPHRASE, "x1Y2" * 40, bytes(range(256)) * 3], ids=type)
def test_the_search_finds_a_planted_secret(secret: str | bytes) -> None:
    namespace: dict[str, object] = {}
    code = "def leak(value):\n    held = {'in': [value]}\n    raise ZeroDivisionError(len(held))"
    exec(compile(code, "elsewhere.py", "exec"), namespace)
    error = raised(lambda: namespace["leak"](secret))  # type: ignore[operator]
    assert any(spelling in tracker(error) for spelling in spellings(secret))
    assert any(spelling in debug_page(error) for spelling in spellings(secret)[:1]) or len(secret) > 100
    hidden = Secret(secret) if isinstance(secret, str) else SecretBytes(secret)
    assert not found(secret, raised(lambda: namespace["leak"](hidden)))  # type: ignore[operator]


# ---- signing keys on their way in -----------------------------------------------------------------------------------

INSIDE = {
    "reading": (keys, "fingerprint"),
    "sealing": (keystore, "seal"),
    "sealing, deeper": (fields.crypto.Keyring, "seal"),
    "storing": (SigningKey, "save"),
}


@pytest.mark.parametrize(("owner", "name"), INSIDE.values(), ids=list(INSIDE))
@pytest.mark.parametrize("way", ["pem", "passphrase", "der", "profile"])
def test_a_bug_while_a_key_comes_in_shows_neither_key_nor_passphrase(
    salesforce_org: ConnectableOrg,
    pem: str,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    way: str,
) -> None:
    ways: dict[str, Callable[[], object]] = {
        "pem": lambda: keystore.take_in(pem.encode(), name="k"),
        "passphrase": lambda: keystore.take_in(encrypted(pem), name="k", passphrase=PASSPHRASE),
        "der": lambda: keystore.take_in(der(pem), name="k"),
        "profile": lambda: profiles.save(
            "acme",
            {"login_url": salesforce_org.url, "consumer_key": "3MVG9", "username": "u@acme.example"},
            actor=SHELL,
            key=KeyMaterial(encrypted(pem), PASSPHRASE),
        ),
    }
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, broken)
        error = raised(ways[way])
    assert isinstance(error, Broken)
    for secret in (line(pem), der(pem), PASSPHRASE):
        assert not found(secret, error)


def test_a_call_with_a_misspelt_argument_does_not_show_the_others(pem: str) -> None:
    error = raised(lambda: keystore.prove(encrypted(pem), pasphrase=PASSPHRASE))  # type: ignore[call-arg]
    assert isinstance(error, TypeError)
    assert "pasphrase" in str(error)
    assert not found(PASSPHRASE, error)


@pytest.mark.parametrize("damage", ["cut", "passphrase", "none", "small"])
def test_a_key_that_is_refused_is_not_shown(pem: str, damage: str) -> None:
    given: dict[str, tuple[bytes, str | None]] = {
        "cut": (pem.encode()[:-200], None),
        "passphrase": (encrypted(pem), PASSPHRASE + "!"),
        "none": (encrypted(pem), None),
        "small": (pem.replace("PRIVATE KEY", "EC PRIVATE KEY").encode(), None),
    }
    data, passphrase = given[damage]
    error = raised(lambda: keystore.take_in(data, name="k", passphrase=passphrase))
    assert not found(line(pem), error)
    assert not found(PASSPHRASE, error)


PAGES = ["admin:sf_integration_signingkey_add", "admin:sf_integration_connectedapp_add"]


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("upload", [True, False])
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("where", ["proving", "storing", "form"])
def test_a_bug_in_a_page_that_takes_keys_shows_nothing_that_was_typed(
    salesforce_org: ConnectableOrg, pem: str, client: Client, monkeypatch: pytest.MonkeyPatch,
    debug: bool, upload: bool, page: str, where: str,
) -> None:  # fmt: skip
    client.force_login(get_user_model().objects.create_superuser("root"))
    client.raise_request_exception = False
    file = SimpleUploadedFile("server.key", encrypted(pem))
    given = {"private_key_file": file} if upload else {"private_key": encrypted(pem).decode()}
    data = given | {
        "name": "k", "passphrase": PASSPHRASE, "login_url": salesforce_org.url, "consumer_key": "3MVG9", "username": "u",
        "session_minutes": "120",
    }  # fmt: skip
    owner, name = {
        "proving": (keys, "fingerprint"),
        "storing": (SigningKey, "save"),
        "form": (key_inputs, "keyring"),
    }[where]
    monkeypatch.setattr(owner, name, broken)
    with override_settings(DEBUG=debug, DEBUG_PROPAGATE_EXCEPTIONS=False):
        seen: list[BaseException] = []
        keep = lambda sender, request, **kwargs: seen.append(sys.exc_info()[1])  # noqa: E731
        got_request_exception.connect(keep)
        try:
            answer = client.post(reverse(page), data)
        finally:
            got_request_exception.disconnect(keep)
    assert answer.status_code == 500
    page_shown = html.unescape(answer.content.decode())
    assert not debug or "Broken" in page_shown
    for secret in (line(encrypted(pem).decode()), line(pem), PASSPHRASE):
        assert secret not in page_shown
        told = "\n".join(pprint.pformat(variables) for variables in frames(seen[0]))
        assert secret not in told


@pytest.mark.parametrize("page", PAGES)
def test_a_bug_after_a_private_key_came_as_the_certificate_does_not_show_it(
    pem: str, client: Client, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    client.force_login(get_user_model().objects.create_superuser("root"))
    client.raise_request_exception = False
    monkeypatch.setattr(forms.KeyInputs, "gives_key", property(broken))
    data = {"name": "k", "certificate": pem, "login_url": "https://a.my.salesforce.com", "username": "u"}
    with override_settings(DEBUG=True, DEBUG_PROPAGATE_EXCEPTIONS=False):
        answer = client.post(reverse(page), data)
    assert answer.status_code == 500
    shown = html.unescape(answer.content.decode())
    assert "Broken" in shown
    assert line(pem) not in shown


# ---- secrets on their way out ---------------------------------------------------------------------------------------


def test_a_bug_while_a_key_is_loaded_does_not_show_it(
    salesforce_org: ConnectableOrg, pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce_org.connect("acme")
    monkeypatch.setattr("sf_integration.salesforce.keys.pairs.serialization.load_der_private_key", broken)
    error = raised(lambda: get_token("acme"))
    assert isinstance(error, Broken)
    assert not found(der(pem), error)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(oauth.Token, "from_json"), (signin, "_attempt"), (AccessToken, "from_db")],
    ids=["answer", "attempt", "row"],
)
def test_a_bug_on_a_tokens_way_does_not_show_it(
    salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    tokens.reset()
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, broken)
        patched.setattr(tokens.rows, "Token", broken)
        errors = [raised(lambda: get_token("acme"))]
        salesforce_org.end_sessions()
        errors.append(raised(lambda: tokens.renew("acme", None, token)))
    for error in errors:
        assert isinstance(error, Broken)
        assert not found(token.value, error)


def test_a_bug_in_re_encryption_shows_no_secret(
    salesforce_org: ConnectableOrg, pem: str, monkeypatch: pytest.MonkeyPatch, settings
) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    old = settings.SF_INTEGRATION["ENCRYPTION_KEYS"]
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": (fields.crypto.new_key(), *old)}
    for owner, name in (
        (reencrypt, "seal"),
        (tokens, "reseal"),
        (reencrypt.SealedColumn, "swap"),
        (fields.crypto.Keyring, "seal"),
        (fields.crypto.Keyring, "fingerprints"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, broken)
            error = raised(lambda: reencrypt.reencrypt(actor=SHELL))
        assert isinstance(error, Broken), name
        assert not found(der(pem), error)
        assert not found(token.value, error)


def test_a_database_that_fails_shows_no_secret(
    salesforce_org: ConnectableOrg, pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce_org.connect("acme")
    made: list[oauth.Token] = []
    read = oauth.Token.from_json
    monkeypatch.setattr(oauth.Token, "from_json", lambda *a, **k: made.append(read(*a, **k)) or made[-1])

    def fails(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and '"value" =' in sql:
            raise Broken
        return execute(sql, params, many, context)

    with database.execute_wrapper(fails):
        error = raised(lambda: get_token("acme"))
    assert isinstance(error, Broken)
    assert len(made) == 1
    assert not found(der(pem), error)
    assert not found(made[0].value, error)


# ---- copies of other kinds ------------------------------------------------------------------------------------------


def test_tokens_are_not_pickled_and_so_not_cached(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    for attempt in (
        lambda: pickle.dumps(token),
        lambda: pickle.dumps({"a": [token.value]}),
        lambda: cache.set("token", token),
        lambda: pickle.dumps(AccessToken.objects.get().value.open()),
    ):
        with pytest.raises(TypeError, match="not pickled") as caught:
            attempt()
        assert token.value not in str(caught.value)
    with get_client("acme") as client, pytest.raises((TypeError, AttributeError)):
        pickle.dumps(client)


def test_rows_are_pickled_sealed(salesforce_org: ConnectableOrg, pem: str) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    dumped = pickle.dumps([*AccessToken.objects.all(), *SigningKey.objects.all()])
    assert token.value.encode() not in dumped
    assert der(pem)[100:200] not in dumped


def test_a_token_may_be_copied_in_memory(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    assert copy.copy(token) == copy.deepcopy(token) == token
    assert token.value not in repr(copy.deepcopy([token]))


def test_vars_and_repr_of_what_holds_secrets_hide_them(salesforce_org: ConnectableOrg, pem: str) -> None:
    app = salesforce_org.connect("acme")
    token = get_token("acme")
    row = AccessToken.objects.get()
    told = pprint.pformat(
        [
            token, vars(token), row, vars(row), vars(app.signing_key), row.value.open(), tokens.current().copies,
            fields.keyring(), vars(fields.keyring()), KeyMaterial(pem.encode(), PASSPHRASE),
            vars(KeyMaterial(pem.encode(), PASSPHRASE)),
        ]
    )  # fmt: skip
    assert token.value not in told
    assert line(pem) not in told
    assert PASSPHRASE not in told
    for sealed in (row.value, app.signing_key.private_key):
        assert sealed.ciphertext not in told
