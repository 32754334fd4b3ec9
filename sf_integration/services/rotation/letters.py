"""What an org's admin has to know to upload the next certificate: a plain text to send, without a secret."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone
from django.utils.text import slugify

from ...keystore import UPLOAD_PATHS
from ...models import AppKind, ConnectedApp, SigningKey
from ...salesforce import keys

_END_OF_CONSUMER_KEY = 8


@dataclass(frozen=True)
class Letter:
    to: tuple[str, ...]
    """E-mail addresses of the org's admins, as far as they are known and are some."""
    subject: str
    body: str

    @property
    def mailto(self) -> str:
        """For a link. The certificate has to be attached by hand: links can't carry files."""
        to = ",".join(quote(address, safe="@") for address in self.to)
        body = self.body.replace("\n", "\r\n")  # RFC 6068, section 5
        return f"mailto:{to}?subject={quote(self.subject, safe='')}&body={quote(body, safe='')}"


def letter(connection: ConnectedApp, key: SigningKey) -> Letter:
    """About the upload of this key's certificate."""
    return Letter(
        to=tuple(addresses(connection.org_contacts)),
        subject=f"Please upload a new certificate to the {_app_words(connection)} used by “{connection}”",
        body="\n\n".join(_paragraphs(connection, key)),
    )


def file_name(key: SigningKey) -> str:
    """Of the certificate, for a download."""
    return f"{slugify(key.name) or 'certificate'}.crt"


def _paragraphs(connection: ConnectedApp, key: SigningKey) -> list[str]:
    org = connection.organization.get("name") or connection.login_url
    ends = connection.signing_key.not_after
    is_ahead = ends is not None and ends > timezone.now()
    until = f" The one in use ends on {ends:%Y-%m-%d}: please do it before." if is_ahead else ""
    return [
        (
            f"“{connection}” signs in to {org} as {connection.username}, with a certificate that is being replaced. Please "
            f"upload the new one, attached as {file_name(key)}.{until}"
        ),
        "\n".join(_where(connection)),
        "\n".join(_certificate(key)),
        (
            "What happens: as far as we know an app has one certificate, so the new one takes the old one's place; it may take "
            "some minutes to be known everywhere. Our side holds both keys and changes over by itself at its next sign-in. "
            "Sessions under way go on. Consumer key, users, scopes and policies stay as they are, and there is no hour to be "
            "agreed upon."
        ),
        "If the page shows an error when you save, choose the file again.",
    ]


def _where(connection: ConnectedApp) -> Iterator[str]:
    yield "Where:"
    yield _line("org", connection.login_url)
    yield from (_line(*way) for way in _ways(connection))
    yield _line(
        "app", f"the one whose consumer key ends in {connection.consumer_key[-_END_OF_CONSUMER_KEY:]}"
    )
    yield _line("then", "choose the file, press Save, and nothing else")


def _certificate(key: SigningKey) -> Iterator[str]:
    yield "The certificate:"
    yield _line("ends on", f"{key.not_after:%Y-%m-%d}" if key.not_after else "unknown")
    yield _line("SHA-256", keys.colon_pairs(key.certificate_fingerprint))


def _ways(connection: ConnectedApp) -> list[tuple[str, str]]:
    if connection.app_kind:
        return [("click", UPLOAD_PATHS[AppKind(connection.app_kind)])]
    return [(f"click, {AppKind(kind).label}", menu) for kind, menu in UPLOAD_PATHS.items()]


def _app_words(connection: ConnectedApp) -> str:
    return (
        AppKind(connection.app_kind).label if connection.app_kind else "External Client App or Connected App"
    )


def _line(word: str, text: str) -> str:
    return f"  {word}: {text}"


def addresses(contacts: str) -> list[str]:
    """One per line, or with commas between; what is none is passed over."""
    found = []
    for line in contacts.replace(",", "\n").splitlines():
        try:
            validate_email(line.strip())
        except ValidationError:
            continue
        found.append(line.strip())
    return found
