from __future__ import annotations

import copy
import inspect
import pickle
import traceback

import pytest

from sf_integration.salesforce import errors, oauth, signin
from sf_integration.salesforce.http import BearerAuth, Http
from sf_integration.salesforce.rest import Client, FixedToken
from sf_integration.salesforce.secret import Secret
from sf_integration.salesforce.signin import SignIn

from .conftest import app_key, sign_in_request, token_for

EXAMPLES = [
    errors.RetryableError("The host is busy.", code="x", retry_after=7),
    errors.TransportError("It did not answer.", code="timeout", status_code=503),
    errors.OutcomeUnknown("It did not answer.", code="timeout"),
    errors.LoginUnavailable("Not at the moment.", retry_after=9),
    errors.ActionNeeded("It is off.", remedy="Switch it on.", who="you"),
    errors.AuthenticationError(
        "Not approved.", error="invalid_grant", description="no", remedy="Approve.", who="admin"
    ),
    errors.InvalidPrivateKey("This is no key.", remedy="Give one."),
    errors.WrongOrg("Another org."),
    errors.NotAllowedHere("Not here."),
    errors.EncryptionKeyMissing("It is missing.", code="secret_damaged"),
    errors.ConnectionPaused("It is paused."),
    errors.UsernameNotAllowed("Not this user."),
    errors.PermissionMissing("You may not."),
    errors.ApiKeyRefused("It is unknown."),
    errors.ApiError("bad", status_code=400, error_code="X", fields=("Name",)),
    errors.ApiUnavailable("locked", status_code=400, error_code="UNABLE_TO_LOCK_ROW", retry_after=7),
    errors.SessionExpired("ended", status_code=401, error_code="INVALID_SESSION_ID"),
    errors.NotFound("absent", status_code=404),
    errors.QueryCursorLost("lost", status_code=400),
    errors.InvalidInput("This is wrong."),
    errors.UnknownConnection("acme", suggestion="acme-prod"),
]
BY_NAME = pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)


def classes() -> set[type]:
    return {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}


def test_every_error_has_an_example_here():
    assert {type(error) for error in EXAMPLES} == classes() - {errors.SalesforceError}


@BY_NAME
def test_every_error_is_a_sentence_with_a_code(error):
    assert isinstance(error, errors.SalesforceError)
    assert str(error)[0].isupper()
    assert error.code


@BY_NAME
def test_errors_cross_process_borders_whole(error):
    """Celery and multiprocessing pickle what a worker raises; Celery's JSON results make it of its args alone."""
    for other in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
    assert str(type(error)(*error.args)) == str(error)


def test_an_error_tells_its_connection_once():
    with pytest.raises(errors.LoginUnavailable) as told, errors.about("acme"), errors.about("acme"):
        raise errors.LoginUnavailable("Not at the moment.")
    assert told.value.connection == "acme"
    assert "".join(traceback.format_exception(told.value)).count("Connection: acme") == 1
    assert pickle.loads(pickle.dumps(told.value)).connection == "acme"


@BY_NAME
def test_what_may_be_stored_of_an_error_is_text(error):
    stored = errors.without_secrets(error)
    assert set(stored) == {"code", "message", "cause", "remedy", "who", "description"}
    assert all(isinstance(value, str) for value in stored.values())
    assert stored["message"] == str(error)


def test_the_tree_is_what_the_page_says():
    assert issubclass(errors.TransportError, errors.RetryableError)
    assert issubclass(errors.LoginUnavailable, errors.RetryableError)
    for kind in ("AuthenticationError", "InvalidPrivateKey", "WrongOrg", "NotAllowedHere", "EncryptionKeyMissing",
                 "ConnectionPaused", "UsernameNotAllowed", "PermissionMissing", "ApiKeyRefused"):  # fmt: skip
        assert issubclass(getattr(errors, kind), errors.ActionNeeded)
    assert issubclass(errors.OutcomeUnknown, errors.TransportError)
    assert issubclass(errors.ApiUnavailable, errors.RetryableError)
    for kind in ("ApiUnavailable", "SessionExpired", "NotFound", "QueryCursorLost"):
        assert issubclass(getattr(errors, kind), errors.ApiError)
    assert issubclass(errors.InvalidPrivateKey, ValueError)
    assert issubclass(errors.InvalidInput, ValueError)
    assert issubclass(errors.UnknownConnection, LookupError)
    assert not issubclass(errors.RetryableError, errors.ActionNeeded)


def test_every_error_is_drawn_at_the_top_of_the_module():
    assert all(kind.__name__ in errors.__doc__ for kind in classes())


def test_every_error_is_told_how_long_to_wait():
    assert errors.RetryableError("x").retry_after > 0


# No secret in what is shown


SECRETS = [
    token_for("https://acme.my.salesforce.com", "planted-secret"),
    FixedToken(token_for("https://acme.my.salesforce.com", "planted-secret")),
    Secret("planted-secret"),
    {"token": token_for("https://acme.my.salesforce.com", "planted-secret").value},
    BearerAuth("planted-secret", "https://acme.my.salesforce.com"),
    vars(BearerAuth(Secret("planted-secret"), "https://acme.my.salesforce.com")),
    Client(token_for("https://acme.my.salesforce.com", "planted-secret")),
    SignIn(login_url="https://x", audience="https://x", consumer_key="k", username="u", key=app_key()),
]


@pytest.mark.parametrize("holder", SECRETS, ids=lambda holder: type(holder).__name__)
def test_whatever_holds_a_secret_does_not_show_it(holder):
    shown = f"{holder!r} {[holder]}"
    assert "planted" not in shown
    assert str(app_key().private_numbers().d) not in shown


def test_a_secret_is_a_string_in_every_other_way():
    secret = Secret("planted")
    assert (secret, f"{secret}", str(secret), secret.encode()) == (
        "planted",
        "planted",
        "planted",
        b"planted",
    )


def test_a_secret_does_not_go_into_a_cache():
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(Secret("planted"))


def every_frame_and_cause(error: BaseException) -> str:
    """All that an error tracker or Django's debug page would show: texts, arguments and variables, along the chain."""
    told: list[str] = []
    pending: list[BaseException | None] = [error]
    while pending:
        reason = pending.pop()
        if reason is None:
            continue
        told += [str(reason), repr(reason), repr(reason.args)]
        for frame, _ in traceback.walk_tb(reason.__traceback__):
            if frame.f_globals["__name__"].startswith(
                ("sf_integration", "requests", "urllib3", "http.", "jwt", "ssl")
            ):
                told += [f"{name} = {value!r}" for name, value in frame.f_locals.items()]
        pending += [reason.__cause__, None if reason.__suppress_context__ else reason.__context__]
    return "\n".join(told)


def assertion_sent(monkeypatch) -> list[str]:
    """The assertions that are signed from now on."""
    made: list[str] = []
    original = signin.assertion.sign

    def keep(*args: object, **options: object) -> str:
        made.append(original(*args, **options))
        return made[-1]

    monkeypatch.setattr(signin.assertion, "sign", keep)
    return made


FAULTS = [
    ("close", {}),
    ("cut", {}),
    ("redirect", {}),
    ("html", {}),
    ("garbage", {}),
    ("huge", {}),
    ("maintenance", {}),
    ("refuse", {"error": "invalid_grant", "description": "invalid assertion"}),
    ("answer", {"body": '{"access_token": "00DplantedXXXXX!AQplanted", "instance_url": "nowhere"}'}),
    ("answer", {"body": '{"access_token": "00DplantedXXXXX!AQplanted"'}),
    ("answer", {"body": '["00DplantedXXXXX!AQplanted"]'}),
]


@pytest.mark.parametrize(("fault", "options"), FAULTS, ids=str)
def test_a_failed_sign_in_shows_no_assertion_in_any_variable(org, http, monkeypatch, fault, options):
    made = assertion_sent(monkeypatch)
    org.fail(fault, **options)
    outcome = signin.run(sign_in_request(org), http)
    told = every_frame_and_cause(outcome.error)
    assert "post_form" in told or "answer = " in told or "error = " in told, "no variables were looked at"
    assert made
    assert made[0] not in told
    assert made[0].rpartition(".")[2] not in told
    if '["00D' not in options.get("body", ""):
        assert "AQplanted" not in told


def test_a_timeout_shows_no_assertion_in_any_variable(raw_server, http, monkeypatch):
    made = assertion_sent(monkeypatch)
    monkeypatch.setattr(signin, "CALL_SECONDS", 0.2)
    server = raw_server(lambda visit: (visit.read_request(), visit.connection.recv(1)))
    request = SignIn(login_url=server.url, audience=server.url, consumer_key="k", username="u", key=app_key())
    told = every_frame_and_cause(signin.run(request, http).error)
    assert "did not answer within" in told
    assert made[0] not in told


@pytest.mark.parametrize("fault", ["close", "cut", "redirect", "maintenance", "slow"])
def test_a_failed_call_shows_no_bearer_in_any_variable(org, http, token, fault):
    with Client(token, http=http, api_version="67.0", timeout_seconds=0.4) as client:
        org.fail(fault, where="rest", times=None, **({"seconds": 3} if fault == "slow" else {}))
        with pytest.raises(errors.SalesforceError) as caught:
            client.request("POST", "sobjects/Account", json={})
    told = every_frame_and_cause(caught.value)
    assert "client" in told or "method" in told
    assert token.value not in told


def test_the_search_through_variables_finds_a_planted_one():
    with pytest.raises(errors.TransportError) as caught:
        oauth.exchange(
            "planted-by-the-caller", token_url="http://127.0.0.1:1/", timeout_seconds=1.0, http=Http()
        )
    assert "planted-by-the-caller" in every_frame_and_cause(caught.value)
