"""The set-up kit: `setup-kit`."""

from __future__ import annotations

import argparse
from pathlib import Path

from django.db import transaction

from ... import access
from ...access import Deed
from ...models import SESSION_MINUTES, ConnectedApp
from ...salesforce import setup_kit
from ...salesforce.errors import InvalidInput
from ...salesforce.setup_kit import ObjectAccess
from ...services import kits
from ...services.profiles import listed
from .making import stored_signing_key
from .verb import Output, Verb

_OF_A_NEW_CONNECTION = {
    "login_url": "--login-url",
    "username": "--username",
    "label": "--label",
    "signing_key": "--signing-key",
    "session_minutes": "--session-minutes",
}


def _setup_kit(options: argparse.Namespace, output: Output) -> bool:
    access.require(options.actor, options.deed)
    objects = None if options.objects is None else setup_kit.read_objects(options.objects)
    # One transaction with the files: no connection whose kit nobody has.
    with transaction.atomic():
        made = _make(options, objects)
        files = kits.write(made.kit, options.out)
    _tell(made, files, options, output)
    return True


def _make(options: argparse.Namespace, objects: tuple[ObjectAccess, ...] | None) -> kits.Made:
    found = ConnectedApp.objects.select_related("signing_key").filter(name=options.name).first()
    if found:
        _refuse_options_of_new(options)
        kit = kits.of_connection(
            found, actor=options.actor, objects=objects, contact_email=options.contact_email
        )
        return kits.Made(kit, found.signing_key, found)
    return kits.of_new(
        _new_app(options),
        actor=options.actor,
        objects=objects,
        contact_email=options.contact_email,
        org_mints_key=options.org_mints_key,
    )


def _refuse_options_of_new(options: argparse.Namespace) -> None:
    given = [told for name, told in _OF_A_NEW_CONNECTION.items() if getattr(options, name) is not None]
    given += ["--org-mints-key"] if options.org_mints_key else []
    if given:
        raise InvalidInput(
            f"There is a connection “{options.name}” already, so {listed(given)} can't be given: its kit is made from what is "
            f"stored. Change that first: manage.py salesforce import {options.name} …"
        )


def _new_app(options: argparse.Namespace) -> kits.NewApp:
    missing = [
        told for told in ("--login-url", "--username") if not getattr(options, told[2:].replace("-", "_"))
    ]
    if missing:
        raise InvalidInput(
            f"There is no connection “{options.name}” yet. To make it together with its kit, give {listed(missing)}."
        )
    return kits.NewApp(
        name=options.name,
        login_url=options.login_url,
        username=options.username,
        label=options.label or "",
        signing_key=stored_signing_key(options.signing_key, actor=options.actor)
        if options.signing_key
        else None,
        session_minutes=options.session_minutes or kits.DEFAULT_SESSION_MINUTES,
    )


def _tell(made: kits.Made, files: list[Path], options: argparse.Namespace, output: Output) -> None:
    kit = made.kit
    commands = [
        f"{setup_kit.deploy_command()} --dry-run",
        setup_kit.deploy_command(),
        setup_kit.assign_command(kit),
    ]
    if output.as_json:
        output.data(
            {
                "name": options.name,
                "out": str(options.out),
                "files": [str(file) for file in files],
                "app": kit.app,
                "permission_set": kit.permission_set,
                "signing_key": made.signing_key.name,
                "consumer_key": kit.consumer_key,
                "stored": made.connection is not None,
                "commands": commands,
                "finish": kit.finish,
            }
        )
        return
    output.line(
        f"Set-up kit of the External Client App {kit.app} in {options.out}: {len(files)} files, no secret among them. "
        "Not tried on a real org: begin with --dry-run."
    )
    output.line("In that folder:")
    for command in commands:
        output.raw(f"    {command}")  # not wrapped: it is to be copied
    if made.connection is None:
        output.line("Then read the consumer key that the org has made (README.md says how), and here:")
    else:
        output.line("Nothing has to be copied back. Two to ten minutes later, here:")
    output.raw(f"    {kit.finish}")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection, which is made when it is not there")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="empty, or with an earlier kit"
    )
    parser.add_argument(
        "--objects",
        metavar="LIST",
        help="what the permission set opens, as Account,Contact:write,Contact.Birthdate; each for reading, with :write for "
        "creating and editing, with :delete for deleting too (default: the sample sObject)",
    )
    parser.add_argument(
        "--contact-email", default="", metavar="ADDRESS", help="whom Salesforce may ask about the app"
    )
    new = parser.add_argument_group("for a new connection")
    new.add_argument("--login-url", metavar="URL", help="the org's My Domain URL")
    new.add_argument("--username", help="of the integration user")
    new.add_argument("--label", metavar="TEXT", help="of connection and app, for people")
    new.add_argument("--signing-key", metavar="KEY", help="one that is stored here, instead of a new one")
    new.add_argument(
        "--session-minutes",
        type=int,
        choices=SESSION_MINUTES,
        metavar="MINUTES",
        help="how long the org lets a session last: %(choices)s",
    )
    new.add_argument(
        "--org-mints-key",
        action="store_true",
        help="leave the consumer key to the org; it is then to be copied back by one command",
    )


VERBS = (
    Verb(
        "setup-kit",
        "write the Salesforce metadata that makes the app in the org",
        _setup_kit,
        arguments=_arguments,
        examples=[
            "setup-kit acme --out acme-kit",
            "setup-kit globex --out globex-kit --login-url https://globex.my.salesforce.com \\\n"
            "    --username integration@globex.example --objects Account,Contact:write",
        ],
        details="An External Client App with the certificate, callback and scopes, “Admin approved users are pre-authorized”, "
        "and a permission set. For a new connection signing key and consumer key are made here and stored, so nothing has "
        "to be copied back. Nobody is called. Not tried on a real org.",
        deed=Deed.MAKE_KIT,
    ),
)
