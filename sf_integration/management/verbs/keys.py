"""Signing keys: `make-key`, `register-key`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from django.db import transaction

from ... import access, audit, keystore
from ...access import Deed
from ...keystore import UPLOAD_PATHS
from ...models import AppKind, SigningKey
from ...salesforce import keys
from ...salesforce.errors import InvalidInput
from . import files
from .verb import Output, Verb


def _make_key(options: argparse.Namespace, output: Output) -> bool:
    access.require(options.actor, options.deed)
    _require_new_key_name(options.name)
    subject = keys.read_subject(options.subject or options.name)
    path: Path = options.out or Path(f"{options.name}.crt")
    # One transaction: no key without its certificate in the caller's hands.
    with transaction.atomic():
        made = keystore.make(name=options.name, bits=options.bits, days=options.days, **subject)
        audit.record("made key", made, actor=options.actor)
        write_certificate(made.certificate, path)
    if output.as_json:
        told = {"name": made.name, "certificate_file": str(path), "fingerprint": made.certificate_fingerprint}
        output.data(told | {"not_after": made.not_after.isoformat() if made.not_after else None})
        return True
    output.line(f"Signing key {made.name}: {made.size} bits, certificate to {made.not_after:%Y-%m-%d}.")
    output.line(f"SHA-256 of the certificate: {keys.colon_pairs(made.certificate_fingerprint)}")
    output.line(f"Upload {path} to the app in Salesforce, then import with --signing-key {made.name}.")
    for kind, menu in UPLOAD_PATHS.items():
        output.line(f"{AppKind(kind).label}: {menu}", indent=2)
    return True


def _register_key(options: argparse.Namespace, output: Output) -> bool:
    access.require(options.actor, options.deed)
    proved = keystore.prove_outside(
        signer=options.signer,
        reference=options.reference,
        certificate=files.read(options.certificate_file, "certificate"),
    )
    known = keystore.known_key(proved.certificate.public_key_fingerprint)
    if known is None:
        _require_new_key_name(options.name)
    elif not access.visible_keys(options.actor).filter(pk=known.pk).exists():
        raise InvalidInput(
            "This key pair is stored here already, for connections that you may not see. Have somebody register it who may."
        )
    with transaction.atomic():
        key = keystore.store_outside(proved, name=options.name)
        audit.record("registered key", key, actor=options.actor)
    if output.as_json:
        output.data({"name": key.name, "signer": key.signer, "fingerprint": key.certificate_fingerprint})
        return True
    output.line(
        f"Signing key {key.name}: {key.size} bits, held outside by {key.signer}, which signs for its certificate."
    )
    output.line(f"Upload that to the app in Salesforce, then import with --signing-key {key.name}.")
    return True


def write_certificate(certificate: str, path: Path) -> None:
    """Into a new file. Raises InvalidInput."""
    try:
        with path.open("x") as file:
            file.write(certificate)
    except OSError as exc:
        raise InvalidInput(
            f"The certificate can't be written to {path}: {exc.strerror}. Choose another file with --out."
        ) from exc


def _require_new_key_name(name: str) -> None:
    """A key of that name would be taken for the new one later, and its certificate with it."""
    if not re.fullmatch(r"[\w.-]{1,64}", name):
        raise InvalidInput("A signing key's name has 1 to 64 letters, digits, dots, hyphens and underscores.")
    if SigningKey.objects.filter(name=name).exists():
        raise InvalidInput(f"There is a signing key “{name}” already. Choose another name.")


def _make_key_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the signing key")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the certificate goes (default: NAME.crt)"
    )
    parser.add_argument(
        "--bits",
        type=int,
        default=keys.MINIMUM_BITS,
        choices=keys.SIZES,
        help="size of the key (default: %(default)s)",
    )
    parser.add_argument(
        "--days", type=int, default=365, help="how long the certificate holds (default: %(default)s)"
    )
    parser.add_argument(
        "--subject",
        metavar="TEXT",
        help="of the certificate: a common name, or CN=acme,O=Acme GmbH,C=DE (default: NAME)",
    )


def _register_key_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the signing key")
    parser.add_argument(
        "--signer", required=True, metavar="SIGNER", help='who holds it: a name in SF_INTEGRATION["SIGNERS"]'
    )
    parser.add_argument(
        "--reference",
        required=True,
        metavar="REFERENCE",
        help="what it is called there: an ARN, a file's name",
    )
    parser.add_argument(
        "--certificate-file", required=True, type=Path, metavar="FILE", help="of that very key"
    )


VERBS = (
    Verb(
        "make-key",
        "make a signing key here and write its certificate to a file",
        _make_key,
        arguments=_make_key_arguments,
        examples=[
            "make-key acme",
            "make-key acme --bits 4096 --days 730 --subject 'CN=acme,O=Acme GmbH,C=DE'",
            "import acme --signing-key acme --login-url …",
        ],
        details="The private key never leaves the database, where it lies sealed.",
        deed=Deed.CHANGE_KEYS,
    ),
    Verb(
        "register-key",
        "make a signing key known whose private key is held outside",
        _register_key,
        arguments=_register_key_arguments,
        examples=["register-key acme --signer kms --reference alias/salesforce --certificate-file acme.crt"],
        details="The signer signs something once, and that has to fit the certificate. A key pair that is known already gets "
        "the new reference and certificate, and keeps its name.",
        deed=Deed.CHANGE_KEYS,
    ),
)
