"""Mistakes in the settings, found at each start."""

from __future__ import annotations

import difflib
import re
from importlib.util import find_spec
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.db import connections
from django.utils.module_loading import import_string

from .. import crypto, hosts
from ..alarms import contacts
from ..conf import ENVIRONMENTS, NAMES, ChannelSettings, settings
from ..models import SigningKey


@checks.register("sf_integration")
def check_names(**_: Any) -> list[checks.CheckMessage]:
    """A misspelt key would leave its setting at the default without a word: ALLOWED_ENVIRONMENTS at all kinds of org."""
    return [
        checks.Error(
            f"SF_INTEGRATION has no key “{name}”.",
            hint=f"A key that is not known has no effect. {_nearest(name)}",
            id="sf_integration.E008",
        )
        for name in getattr(django_settings, "SF_INTEGRATION", {})
        if name not in NAMES
    ]


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, NAMES, n=1)
    return f"Did you mean “{near[0]}”?" if near else "Take it out."


@checks.register("sf_integration")
def check_encryption_keys(**_: Any) -> list[checks.CheckMessage]:
    if not settings.ENCRYPTION_KEYS:
        return [
            checks.Error(
                "No encryption key is configured, so no signing key or token can be stored.",
                hint='Set SF_INTEGRATION["ENCRYPTION_KEYS"] to a list of base64url keys of 32 bytes, for example '
                'one made by: python -c "from sf_integration.crypto import new_key; print(new_key())"',
                id="sf_integration.E001",
            )
        ]
    try:
        crypto.Keyring.from_text(settings.ENCRYPTION_KEYS)
    except crypto.MalformedKey as exc:
        return [
            checks.Error(
                f"An encryption key is malformed: {exc}.",
                hint="Each key is base64url of exactly 32 bytes, with or without trailing =.",
                id="sf_integration.E002",
            )
        ]
    return []


@checks.register("sf_integration")
def check_environments(**_: Any) -> list[checks.CheckMessage]:
    unknown = sorted(settings.ALLOWED_ENVIRONMENTS - set(ENVIRONMENTS))
    if not unknown:
        return []
    return [
        checks.Error(
            f"Unknown kinds of org in ALLOWED_ENVIRONMENTS: {', '.join(unknown)}.",
            hint=f"Choose from {', '.join(ENVIRONMENTS)}.",
            id="sf_integration.E003",
        )
    ]


@checks.register("sf_integration")
def check_signers(**_: Any) -> list[checks.CheckMessage]:
    """Imports what is named, and makes none: that may take a connection."""
    return [
        checks.Error(
            f'SF_INTEGRATION["SIGNERS"] names “{name}”, which leads nowhere: {problem}',
            hint='Give the dotted path of a class, or {"BACKEND": path, "OPTIONS": {…}}; a name has 1 to 50 characters.',
            id="sf_integration.E004",
        )
        for name, signer in settings.SIGNERS.items()
        if (problem := _name_problem(name) or _import_problem(signer.backend))
    ]


@checks.register("sf_integration")
def check_host_rule(**_: Any) -> list[checks.CheckMessage]:
    try:
        hosts.host_rule()
    except (ImportError, TypeError) as exc:
        return [
            checks.Error(
                f'SF_INTEGRATION["HOST_RULE"] leads nowhere, so that no host may be called: {exc}',
                hint="Give the dotted path of a function that takes a URL and gives True, False or None.",
                id="sf_integration.E005",
            )
        ]
    return []


@checks.register("sf_integration")
def check_alarm_mail(**_: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = [
        checks.Error(
            f'SF_INTEGRATION["ALARM_MAIL"] holds “{given}”, which is no e-mail address.',
            hint="Give plain addresses, as ops@example.com, without names around them.",
            id="sf_integration.E006",
        )
        for given in settings.ALARM_MAIL
        if not contacts.is_address(given.strip())
    ]
    if settings.ALARM_MAIL and not contacts.mail_is_set_up():
        found.append(
            checks.Warning(
                "Alarms are to be mailed, but no mail server is set up: they go to nobody.",
                hint="Set EMAIL_URL, as smtp+tls://user:password@host:587, or Django's EMAIL_BACKEND.",
                id="sf_integration.W005",
            )
        )
    return found


@checks.register("sf_integration")
def check_alarm_channels(**_: Any) -> list[checks.CheckMessage]:
    """Names channels, never their URLs."""
    found: list[checks.CheckMessage] = [
        checks.Error(
            f'SF_INTEGRATION["ALARM_CHANNELS"]: channel {number} {problem}',
            hint="Write SF_ALARM_CHANNELS as name=url, blanks between them; in settings a URL, or "
            '{"URL": url, "TAGS": ["emea"]}. What URLs there are, Apprise tells.',
            id="sf_integration.E007",
        )
        for number, (name, channel) in enumerate(settings.ALARM_CHANNELS.items(), start=1)
        if (problem := _channel_problem(name, channel))
    ]
    if settings.ALARM_CHANNELS and find_spec("apprise") is None:
        found.append(
            checks.Warning(
                "Alarms are to go to channels, but Apprise, which sends them, is not installed.",
                hint="Install the wheel with its extra notify.",
                id="sf_integration.W006",
            )
        )
    return found


def _channel_problem(name: str, channel: ChannelSettings) -> str:
    """Empty for none. A name that is none may be a URL put in the wrong place, so it isn't told."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", name):
        return "has no usable name: letters, digits, hyphens (1 to 60)."
    if not re.match(r"[a-z][a-z0-9+.-]*://", channel.url, re.IGNORECASE):
        return f"(“{name}”) has no URL."
    return ""


def _name_problem(name: str) -> str:
    longest = SigningKey._meta.get_field("signer").max_length or 0
    return "" if 1 <= len(name) <= longest else "it is no name."


def _import_problem(path: str) -> str:
    try:
        return "" if callable(import_string(path)) else f"{path} can't be called."
    except ImportError as exc:
        return f"{exc}."


@checks.register("sf_integration", deploy=True)
def check_loopback_hosts(**_: Any) -> list[checks.CheckMessage]:
    loopback = [host for host in settings.ALLOWED_HOSTS if hosts.is_loopback(host.rsplit(":", 1)[0])]
    if not loopback:
        return []
    return [
        checks.Warning(
            f"Sign-ins may go to this machine itself: {', '.join(loopback)}.",
            hint="Right for the demo; in production take loopback hosts out of ALLOWED_HOSTS.",
            id="sf_integration.W001",
        )
    ]


@checks.register("sf_integration", "database")
def check_atomic_requests(**_: Any) -> list[checks.CheckMessage]:
    return [
        checks.Warning(
            f"ATOMIC_REQUESTS on the SQLite database “{alias}” makes every page hold the one write lock.",
            hint="Set ATOMIC_REQUESTS to False, or use PostgreSQL.",
            id="sf_integration.W002",
        )
        for alias in django_settings.DATABASES
        if connections[alias].vendor == "sqlite" and connections[alias].settings_dict.get("ATOMIC_REQUESTS")
    ]
