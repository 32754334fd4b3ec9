"""The control face: what an org is told, by fixture, by command option or at its local endpoint `/stand-in`.

All three come here, so that a name means the same everywhere: `session_seconds`, `app.kind`, `user.active`, or, of one
of several, `apps.CONSUMER_KEY.kind` and `users.USERNAME.active`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache, partial
from ipaddress import ip_address
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from . import credentials
from .apps import App
from .faults import KINDS
from .messages import Answer, Incoming
from .orgs import Org, Policy
from .users import User

PATH = "/stand-in"

_SECRET = {"consumer_secret", "private_key_pem"}
_FIXED = {"id", "username", "consumer_key", "login_times"}
_NEVER_TOLD = {"self", "place", "id", "login_times"}
_BY_NAME = inspect.Parameter.KEYWORD_ONLY

ACTIONS: dict[str, Callable[..., Any]] = {
    "fail": Org.fail,
    "heal": Org.heal,
    "end-sessions": Org.end_sessions,
    "lose-cursors": Org.lose_cursors,
    "move": Org.move,
    "move-back": Org.move_back,
    "replace": Org.replace,
    "swap-certificate": Org.swap_certificate,
    "answer": Org.answer,
    "answer-path": Org.answer_path,
    "add-record": Org.add_record,
    "add-records": Org.add_records,
    "query": Org.query,
    "add-user": Org.add_user,
}


class ControlError(ValueError):
    """What was told makes no sense; the text says what would."""


# What can be told


def settings_of(org: Org) -> dict[str, Any]:
    """Everything that can be changed, by its name; without secrets."""
    things: dict[str, Org | App | User] = {"": org, "user.": org.user, "app.": org.app}
    things |= {f"users.{user.username}.": user for user in org.users.values() if user is not org.user}
    things |= {f"apps.{app.consumer_key}.": app for app in org.apps.values() if app is not org.app}
    return {
        prefix + name: _as_json(getattr(thing, name))
        for prefix, thing in things.items()
        for name in _names(thing)
        if name not in _SECRET
    }


def change(org: Org, values: Mapping[str, Any]) -> None:
    """Change settings by their names; the values are of JSON's types.

    Raises ControlError for an unknown name or a value of another type; then nothing is changed.
    """
    for apply in [_change(org, name, value) for name, value in values.items()]:
        apply()


def _change(org: Org, name: str, value: Any) -> Callable[[], None]:
    thing, attribute = _find(org, name)
    known = _names(thing)
    if attribute not in known:
        raise ControlError(f"There is no setting {name!r}. Known: {', '.join(known)}.")
    fitting = _fit(name, known[attribute], value)
    if isinstance(thing, App) and attribute == "certificate_pem":
        _require_certificate(fitting)
        return partial(thing.replace_certificate, fitting)
    return partial(setattr, thing, attribute, fitting)


def act(org: Org, action: str, arguments: Mapping[str, Any]) -> Any:
    """Let the org do something: the names of `ACTIONS`, with the arguments of the methods of Org behind them.

    Raises ControlError for an unknown action or arguments that don't fit.
    """
    if action not in ACTIONS:
        raise ControlError(f"There is no action {action!r}. Known: {', '.join(ACTIONS)}.")
    takes = parameters_of(action, arguments)
    try:
        inspect.Signature(list(takes.values())).bind(**arguments)
    except TypeError as exc:
        raise ControlError(f"{action}: {exc}. It takes {', '.join(takes) or 'no arguments'}.") from exc
    fitting = {
        name: _fit(f"{action}: {name}", takes[name].annotation, value) for name, value in arguments.items()
    }
    try:
        return ACTIONS[action](org, **fitting)
    except ValueError as exc:
        raise ControlError(f"{action}: {str(exc).removesuffix('.')}.") from exc


def parameters_of(action: str, arguments: Mapping[str, Any]) -> dict[str, inspect.Parameter]:
    """What an action takes, by name: also the options of a kind of fault, the fields of a user or record."""
    takes = _parameters(ACTIONS[action])
    match action, arguments.get("kind"):
        case "fail", str(kind) if kind in KINDS:
            return takes | _parameters(KINDS[kind])
        case "add-user", _:
            return takes | _parameters(User)
        case "add-record", _:
            values = arguments.keys() - takes.keys()
            return takes | {name: inspect.Parameter(name, _BY_NAME, annotation=Any) for name in values}
    return takes


def _parameters(do: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Those that can be told, all by name, with their types."""
    hints = get_type_hints(do)
    return {
        name: parameter.replace(kind=_BY_NAME, annotation=hints.get(name, Any))
        for name, parameter in inspect.signature(do).parameters.items()
        if name not in _NEVER_TOLD and parameter.kind is not parameter.VAR_KEYWORD
    }


# The endpoint


def answer(org: Org, request: Incoming, caller_address: str) -> Answer:
    """Answer at `/stand-in`: GET shows, PATCH changes settings, POST to an action does it.

    Only callers on this machine are heard, and no web page is, wherever it came from.
    """
    if not (_is_trusted(request, caller_address) and _is_named_rightly(request.host, org)):
        return _error(403, "Only programs on the stand-in's own machine are heard here, no web pages.")
    match (request.method, request.path.removeprefix(PATH).strip("/")):
        case ("GET", ""):
            return _shown(overview(org))
        case ("GET", "requests"):
            return _shown([asdict(asked) for asked in org.requests])
        case ("PATCH", ""):
            return _told(org, request, change)
        case ("POST", action) if action:
            return _told(org, request, lambda org, arguments: act(org, action, arguments))
    ways = f"GET {PATH}, GET {PATH}/requests, PATCH {PATH}, POST {PATH}/{{{','.join(ACTIONS)}}}"
    return _error(404, f"There is {ways}.")


def overview(org: Org) -> dict[str, Any]:
    """What a look at the endpoint shows."""
    return {
        "org": {"id": org.id, "name": org.name, "url": org.url, "instance_url": org.instance_url},
        "settings": settings_of(org),
        "counters": {
            "token_requests": org.token_requests,
            "logins": org.logins,
            "api_calls": org.api_used,
            "sessions": sum(session.is_live for session in org.sessions),
        },
        "faults": [asdict(fault) for fault in org.faults.waiting()],
    }


def _told(org: Org, request: Incoming, do: Callable[[Org, dict[str, Any]], Any]) -> Answer:
    try:
        arguments = json.loads(request.body or b"{}")
        if not isinstance(arguments, dict):
            raise ControlError("A JSON object is expected.")
        result = do(org, arguments)
    except ControlError as exc:
        return _error(400, str(exc))
    except ValueError:
        return _error(400, "The body is no JSON.")
    return _shown(_as_json(result) if isinstance(result, list | dict | str) else overview(org))


def _is_trusted(request: Incoming, caller_address: str) -> bool:
    """Browsers name the page that asks; a form or an image of a foreign page must not reach in."""
    is_from_a_page = "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none"
    address = ip_address(caller_address)
    # An IPv4 caller at a socket that listens to both.
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback and not is_from_a_page


def _is_named_rightly(host: str, org: Org) -> bool:
    """A page whose own name was made to lead here (DNS rebinding) asks by that name, and needs no Origin to read."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name in (None, "localhost", urlsplit(org.url).hostname) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _shown(data: Any, status: int = 200) -> Answer:
    # What a test gave in code, bytes for one, is shown as Python shows it.
    text = json.dumps(data, ensure_ascii=False, indent=2, default=repr)
    return Answer(status, f"{text}\n".encode())


def _error(status: int, sentence: str) -> Answer:
    return _shown({"error": sentence}, status)


# Names and types

_LARGEST_NUMBER = 10**9
_LISTS = (tuple, set, Sequence)
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Mapping: "an object",
    type(None): "null",
}


def _names(thing: Org | App | User) -> dict[str, Any]:
    """The fields that can be changed, with their types."""
    kind: Any = Policy if isinstance(thing, Org) else type(thing)
    return _fields_of(kind)


@cache
def _fields_of(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.name not in _FIXED}


def _find(org: Org, name: str) -> tuple[Org | App | User, str]:
    prefix, _, attribute = name.rpartition(".")
    kind, _, key = prefix.partition(".")
    match kind, key:
        case "", "":
            return org, attribute
        case "user", "":
            return org.user, attribute
        case "app", "":
            return org.app, attribute
        case "users", _ if user := org.find_user(key):
            return user, attribute
        case "apps", _ if key in org.apps:
            return org.apps[key], attribute
    raise ControlError(
        f"There is no setting {name!r}: {prefix!r} is neither user, app, users.USERNAME nor apps.KEY."
    )


def _require_certificate(pem: str) -> None:
    try:
        credentials.public_key_of(pem)
    except ValueError as exc:
        raise ControlError(
            "app.certificate_pem must be a PEM certificate with an RSA key of 2048 bits or more."
        ) from exc


def _fit(name: str, hint: Any, value: Any) -> Any:
    """The value as its attribute holds it."""
    for kind in get_args(hint) if _is_union(hint) else (hint,):
        if _fits(kind, value):
            container = get_origin(kind)
            return container(value) if container in (tuple, set) else value
    raise ControlError(f"{name} must be {_said(hint)}, not {json.dumps(value, ensure_ascii=False)}.")


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value of JSON is of this type; tuples, sets and sequences come as lists."""
    kind, of = get_origin(hint), get_args(hint)
    if hint is Any or kind is Literal:
        return hint is Any or value in of
    if _is_union(hint):
        return any(_fits(choice, value) for choice in of)
    if kind in _LISTS:
        return isinstance(value, list) and all(_fits(of[0], item) for item in value)
    if kind is Mapping:
        return isinstance(value, dict) and all(_fits(of[1], item) for item in value.values())
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        # More seconds than that neither a clock nor a timer can take.
        return isinstance(value, int | float) and abs(value) <= _LARGEST_NUMBER
    return isinstance(hint, type) and isinstance(value, hint)


def _said(hint: Any) -> str:
    """A type in words."""
    if _is_union(hint):
        return " or ".join(dict.fromkeys(said for choice in get_args(hint) if (said := _said(choice))))
    kind, of = get_origin(hint), get_args(hint)
    if kind is Literal:
        return " or ".join(json.dumps(choice) for choice in of)
    if kind in _LISTS:
        return "a list of texts" if of[0] is str else "a list of objects"
    return _WORDS.get(kind or hint, "")  # what JSON can't say is left out


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _as_json(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
