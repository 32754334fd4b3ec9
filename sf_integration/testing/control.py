"""The control face: what an org is told, by fixture, by command option or at its local endpoint `/stand-in`.

All three come here, so that a name means the same everywhere: `session_seconds`, `app.kind`, `user.active`, or, of one
of several, `apps.CONSUMER_KEY.kind` and `users.USERNAME.active`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import cache, partial
from ipaddress import ip_address
from typing import Any, Literal, get_args, get_origin, get_type_hints

from . import credentials
from .apps import App
from .messages import Answer, Incoming
from .orgs import Org, Policy
from .users import User

PATH = "/stand-in"

_SECRET = {"consumer_secret", "private_key_pem"}
_FIXED = {"id", "username", "consumer_key", "login_times"}

_ACTIONS: dict[str, Callable[..., Any]] = {
    "fail": Org.fail,
    "heal": Org.heal,
    "end-sessions": Org.end_sessions,
    "lose-cursors": Org.lose_cursors,
    "move": Org.move,
    "answer": Org.answer,
    "answer-path": Org.answer_path,
    "add-records": Org.add_records,
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
    """Let the org do something: the names of `_ACTIONS`, with the arguments of the methods of Org behind them.

    Raises ControlError for an unknown action or arguments that don't fit.
    """
    if action not in _ACTIONS:
        raise ControlError(f"There is no action {action!r}. Known: {', '.join(_ACTIONS)}.")
    do = _ACTIONS[action]
    try:
        inspect.signature(do).bind(org, **arguments)
        return do(org, **arguments)
    except TypeError as exc:
        raise ControlError(f"{action}: {exc}. It takes {_arguments_of(do)}.") from exc
    except ValueError as exc:
        raise ControlError(f"{action}: {exc}.") from exc


# The endpoint


def answer(org: Org, request: Incoming, caller_address: str) -> Answer:
    """Answer at `/stand-in`: GET shows, PATCH changes settings, POST to an action does it.

    Only callers on this machine are heard, and no web page is, wherever it came from.
    """
    if not _is_trusted(request, caller_address):
        return _error(403, "Only programs on the stand-in's own machine are heard here, no web pages.")
    match (request.method, request.path.removeprefix(PATH).strip("/")):
        case ("GET", ""):
            return _shown(_overview(org))
        case ("GET", "requests"):
            return _shown([asdict(asked) for asked in org.requests])
        case ("PATCH", ""):
            return _told(org, request, change)
        case ("POST", action) if action:
            return _told(org, request, lambda org, arguments: act(org, action, arguments))
    ways = f"GET {PATH}, GET {PATH}/requests, PATCH {PATH}, POST {PATH}/{{{','.join(_ACTIONS)}}}"
    return _error(404, f"There is {ways}.")


def _overview(org: Org) -> dict[str, Any]:
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
    return _shown(_as_json(result) if isinstance(result, list | dict | str) else _overview(org))


def _is_trusted(request: Incoming, caller_address: str) -> bool:
    """Browsers name the page that asks; a form or an image of a foreign page must not reach in."""
    is_from_a_page = "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none"
    address = ip_address(caller_address)
    # An IPv4 caller at a socket that listens to both.
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback and not is_from_a_page


def _shown(data: Any, status: int = 200) -> Answer:
    return Answer(status, (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode())


def _error(status: int, sentence: str) -> Answer:
    return _shown({"error": sentence}, status)


# Names and types


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
    raise ControlError(f"{name} must be {_said(hint)}, not {json.dumps(value)}.")


def _fits(kind: Any, value: Any) -> bool:
    if kind is type(None):
        return value is None
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) in (tuple, set):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind is float:
        kind = int | float
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _said(hint: Any) -> str:
    """A type in words."""
    if _is_union(hint):
        return " or ".join(map(_said, get_args(hint)))
    if get_origin(hint) is Literal:
        return " or ".join(json.dumps(choice) for choice in get_args(hint))
    if get_origin(hint) in (tuple, set):
        return "a list of texts"
    words = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        type(None): "null",
    }
    return words.get(hint, str(hint))


def _is_union(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _arguments_of(do: Callable[..., Any]) -> str:
    names = [name for name in inspect.signature(do).parameters if name != "self"]
    return ", ".join(names) or "no arguments"


def _as_json(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
