"""One message to one target, now: by Django's mail, or by Apprise in a process of its own. Never for long."""

from __future__ import annotations

import json
import logging
import re
import smtplib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.core import mail
from django.core.mail import EmailMessage
from django.utils.translation import gettext_noop

from ..conf import settings
from . import channel
from .contacts import CHANNEL, MAIL

log = logging.getLogger("sf_integration.alarms")

MAIL_SECONDS = 10
"""For each answer of the mail server."""
CHANNEL_SECONDS = 20
"""In all."""
_MARK_UP = re.compile(r"@(?=everyone|here|channel)|(?<!\w)@|<(?=\S)|](?=\()")
"""What calls people or hides where a link leads, in one chat or another: Apprise escapes it for some of them only."""
_WORD_JOINER = "\u2060"
_PROBLEMS = {
    channel.REFUSED: gettext_noop("the channel did not take it"),
    channel.NO_CHANNEL: gettext_noop("its URL is none that Apprise knows"),
    channel.NOT_INSTALLED: gettext_noop("Apprise is not installed (extra: notify)"),
}


@dataclass(frozen=True)
class Letter:
    id: UUID
    subject: str
    body: str
    in_reply_to: UUID | None = None
    tone: str = "info"


class NotSent(Exception):
    """In words that hold no secret, stored in English and translated where they are shown."""

    def __init__(self, problem: str, *, is_of_target: bool) -> None:
        super().__init__(problem)
        self.is_of_target = is_of_target
        """Whether others that go the same way may be sent all the same."""


class Deliverer:
    """Keeps its connection to the mail server between letters, and asks nobody again who just failed. Not for several threads."""

    def __init__(self) -> None:
        self._mail: Any = None
        self.down: dict[str, str] = {}
        """Ways that don't serve at present, each with why: `MAIL`, or the target of a channel."""

    def is_down(self, target: str) -> bool:
        return _way(target) in self.down

    def deliver(self, target: str, letter: Letter) -> None:
        """Raises NotSent."""
        way = _way(target)
        if way in self.down:
            raise NotSent(self.down[way], is_of_target=False)
        try:
            if way == MAIL:
                self._by_mail(target.removeprefix(MAIL), letter)
            else:
                _by_channel(target.removeprefix(CHANNEL), letter)
        except NotSent as problem:
            if not problem.is_of_target:
                self.down[way] = str(problem)
            raise

    def close(self) -> None:
        connection, self._mail = self._mail, None
        try:
            if connection is not None:
                connection.close()
        except Exception as exc:  # noqa: BLE001 - all is sent by now
            log.info("closing the connection to the mail server: %s", type(exc).__name__)

    def _by_mail(self, address: str, letter: Letter) -> None:
        try:
            if self._mail is None:
                self._mail = mail.get_connection(timeout=MAIL_SECONDS)
                self._mail.open()
            EmailMessage(
                letter.subject,
                letter.body,
                to=[address],
                headers=_headers(letter),
                connection=self._mail,
            ).send()
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, ValueError) as exc:
            self.close()
            raise NotSent(_kind(exc), is_of_target=True) from None
        except Exception as exc:  # noqa: BLE001 - backends of others raise what they like
            self.close()
            raise NotSent(_kind(exc), is_of_target=False) from None


def _way(target: str) -> str:
    return MAIL if target.startswith(MAIL) else target


def _headers(letter: Letter) -> dict[str, str]:
    """A message sent twice is one to mail programs: its id stays the same."""
    headers = {"Message-ID": _message_id(letter.id), "Auto-Submitted": "auto-generated"}
    if letter.in_reply_to:
        headers |= dict.fromkeys(("In-Reply-To", "References"), _message_id(letter.in_reply_to))
    return headers


def _message_id(id_: UUID) -> str:
    return f"<{id_}@{urlsplit(settings.SITE_URL).hostname or 'sf-integration.invalid'}>"


def _kind(exc: BaseException) -> str:
    """Never its text, which may hold anything that was sent."""
    code = getattr(exc, "smtp_code", None)
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        code = next((each[0] for each in exc.recipients.values()), None)
    return f"{type(exc).__name__} {code}" if code else type(exc).__name__


def _without_mark_up(text: str) -> str:
    """Looks the same; a character that nobody sees keeps apart what would mean something together."""
    return _MARK_UP.sub(lambda found: found[0] + _WORD_JOINER, text)


def _by_channel(name: str, letter: Letter) -> None:
    """The URL goes through a pipe: arguments and environment of a process can be seen by others."""
    configured = settings.ALARM_CHANNELS.get(name)
    if configured is None:
        raise NotSent(gettext_noop("no channel of this name is configured any more"), is_of_target=False)
    # -P: the modules beside it are no modules of Apprise's.
    command = [sys.executable, "-P", str(Path(channel.__file__))]
    given = {
        "url": configured.url,
        "title": _without_mark_up(letter.subject),
        "body": _without_mark_up(letter.body),
        "tone": letter.tone,
    }
    try:
        ended = subprocess.run(  # noqa: S603 - our own program
            command,
            input=json.dumps(given).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=CHANNEL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotSent(gettext_noop("it did not answer in time"), is_of_target=False) from None
    except OSError as exc:
        log.warning("Apprise could not be started: %s", type(exc).__name__)
        raise NotSent(gettext_noop("Apprise could not be started"), is_of_target=False) from None
    if ended.returncode != channel.SENT:
        raise NotSent(_PROBLEMS.get(ended.returncode, gettext_noop("Apprise broke off")), is_of_target=False)
