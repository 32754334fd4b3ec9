"""Making connections: `import`."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Any

from ... import access, keystore
from ...access import Deed
from ...keystore import ProvedKey
from ...models import AppKind, SigningKey
from ...salesforce import keys
from ...salesforce.errors import InvalidInput, InvalidPrivateKey
from ...services import env_file, operations, profiles
from ...services.profiles import listed, word
from . import checking, many
from .files import PASSPHRASE_VARIABLE, read, read_passphrase
from .verb import Output, Verb

_OPTIONS = {
    "login_url": "--login-url",
    "consumer_key": "--consumer-key",
    "username": "--username",
    "signing_key": "--key-file",
}


def _import(options: argparse.Namespace, output: Output) -> bool:
    if options.file:
        return many.import_file(options, output)
    if not options.name:
        raise InvalidInput("Name the connection to make or change, or give a file of many with --file.")
    if options.dry_run or options.keep_going:
        raise InvalidInput("--dry-run and --keep-going go with --file.")
    return _import_one(options, output)


def _import_one(options: argparse.Namespace, output: Output) -> bool:
    if options.env_file:
        _fill_in(options)
    fields = ("login_url", "consumer_key", "username", "audience", "label", "app_kind")
    values = {name: getattr(options, name) for name in fields if getattr(options, name) is not None}
    key, certificate, told = _key_and_certificate(options)
    try:
        saved = profiles.save(options.name, values, actor=options.actor, key=key, certificate=certificate)
    except profiles.Incomplete as exc:
        raise InvalidInput(f"{exc} Give {listed(_OPTIONS[name] for name in exc.missing)}.") from exc
    for sentence in told:
        output.say(sentence)
    return _tell(saved, options, output)


def _key_and_certificate(
    options: argparse.Namespace,
) -> tuple[ProvedKey | SigningKey | None, bytes | None, list[str]]:
    """What the options name, the certificate of a key that is stored already, and what there is to tell of it."""
    certificate = read(options.certificate_file, "certificate") if options.certificate_file else None
    if not options.key_file:
        return (
            stored_signing_key(options.signing_key, actor=options.actor) if options.signing_key else None,
            certificate,
            [],
        )
    key = _proved_key(options.key_file, options.passphrase_file)
    told = [f"{options.key_file}: {note}" for note in key.notes]
    beside = None if certificate or key.certificate else _certificate_beside(options.key_file, key)
    if beside:
        certificate = beside.read_bytes()
        told.append(f"Took the certificate {beside} too, which lies beside the key and fits it.")
    if certificate:
        key = keystore.with_certificate(key, certificate, visible=access.visible_keys(options.actor))
    return key, None, told


def _tell(saved: profiles.Saved, options: argparse.Namespace, output: Output) -> bool:
    connection = saved.connection
    if saved.note:
        output.say(f"Taken as login URL: {connection.login_url}. {saved.note}")
    found = operations.diagnose(connection, actor=options.actor) if options.check else None
    if output.as_json:
        told: dict[str, object] = {
            "name": connection.name,
            "outcome": saved.outcome,
            "changed": saved.changed,
        }
        output.data(told | ({"check": checking.as_json(connection, found)} if found else {}))
    else:
        what = f": {listed(map(word, saved.changed))}" if saved.changed else ", nothing to change"
        output.line(f"{connection.name}: {saved.outcome}{what}.")
    if found:
        checking.tell(connection, found, output)
    elif not output.as_json:
        output.line(f"Try it: manage.py salesforce check {connection.name}")
    return found is None or found.healthy


def _fill_in(options: argparse.Namespace) -> None:
    """Options that were not given, from the env file."""
    path: Path = options.env_file
    try:
        found = env_file.read(read(path, "env").decode(), name=str(path))
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"The env file {path} is no text in UTF-8.") from exc
    wanted = [name for name in env_file.NAMES if getattr(options, name) is None]
    if options.signing_key:
        wanted.remove("key_file")
    empty = [env_file.NAMES[name] for name in wanted if not getattr(found, name)]
    if empty:
        verb, it = ("is", "it") if len(empty) == 1 else ("are", "them")
        raise InvalidInput(f"{listed(empty)} {verb} empty in {path}: fill {it} in.")
    for name in wanted:
        value = getattr(found, name)
        setattr(options, name, _key_file_of(path, value) if name == "key_file" else value)


def _key_file_of(path: Path, named: str) -> Path:
    """Beside the env file first, then in the working folder."""
    for folder in (path.parent, Path()):
        if (folder / named).is_file():
            return folder / named
    raise InvalidInput(
        f"The key file {named}, named in {path}, is neither beside that file nor in the working folder {Path.cwd()}. "
        "Correct KeyFile, or copy the key there."
    )


def _proved_key(path: Path, passphrase_file: Path | None) -> ProvedKey:
    """The passphrase comes from a file, the environment or the person at the terminal: options can be seen by others."""
    data = read(path, "key")
    passphrase = read_passphrase(passphrase_file) if passphrase_file else os.environ.get(PASSPHRASE_VARIABLE)
    try:
        return keystore.prove(data, passphrase=passphrase)
    except InvalidPrivateKey as exc:
        if exc.code != keys.PASSPHRASE_NEEDED:
            raise
        if not sys.stdin.isatty():
            raise InvalidInput(
                f"The private key {path} is protected by a passphrase: give it by --passphrase-file FILE or in the "
                "environment as SF_KEY_PASSPHRASE. It is used once and not kept."
            ) from exc
    return keystore.prove(data, passphrase=getpass.getpass(f"Passphrase of {path}: "))


def _certificate_beside(key_file: Path, key: ProvedKey) -> Path | None:
    """The key's certificate, when it lies beside it under a usual name."""
    public = keys.fingerprint(key.key)
    for path in (*map(key_file.with_suffix, (".crt", ".pem", ".cer")), key_file.with_name("server.crt")):
        try:
            keystore.prove_certificate(path.read_bytes(), public)
        except (OSError, InvalidInput):
            continue
        return path
    return None


def stored_signing_key(name: str, *, actor: Any) -> SigningKey:
    found = access.visible_keys(actor).filter(name=name).first()
    if found is None:
        raise InvalidInput(
            f"There is no signing key “{name}”. Make it with: manage.py salesforce make-key {name}"
        )
    return found


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="the connection's handle in code, as acme-prod"
    )
    parser.add_argument(
        "--file", type=Path, metavar="FILE", help="many at once: CSV or JSON, a connection per row"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --file: tell, but save nothing")
    parser.add_argument(
        "--keep-going", action="store_true", help="with --file: save the good rows though others are refused"
    )
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="with KeyFile, ClientId, UserName, Domain"
    )
    parser.add_argument("--login-url", metavar="URL", help="the org's My Domain URL")
    parser.add_argument("--consumer-key", metavar="TEXT", help="of the app; also called client id")
    parser.add_argument("--username", help="of the integration user")
    parser.add_argument("--audience", metavar="URL", help="when it is not the login URL")
    parser.add_argument("--label", metavar="TEXT", help="for people; else the name is shown")
    parser.add_argument("--app-kind", choices=AppKind.values, help="what the org's admin made")
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--key-file", type=Path, metavar="FILE", help="private key, PEM or DER")
    key.add_argument(
        "--signing-key", metavar="KEY", help="a signing key that is stored here, instead of a file"
    )
    parser.add_argument(
        "--certificate-file", type=Path, metavar="FILE", help="the certificate uploaded to the app"
    )
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="passphrase of the private key; else SF_KEY_PASSPHRASE of the environment, else it is asked for",
    )
    parser.add_argument("--check", action="store_true", help="sign in with it afterwards")


VERBS = (
    Verb(
        "import",
        "make a connection, or change one",
        _import,
        arguments=_import_arguments,
        examples=[
            "import acme --env-file acme.env --check",
            "import acme --login-url https://acme.my.salesforce.com --consumer-key 3MVG9… \\\n"
            "    --username integration@acme.example --key-file server.key",
            "import acme --username ops@acme.example",
            "import --file orgs.csv --dry-run",
            "import --file orgs.csv --keep-going --check",
        ],
        details="Of a connection that exists only what is given changes. An option given twice: the last counts. "
        "A certificate that lies beside the key file and fits it is taken too. Nothing is called without --check.",
        deed=Deed.IMPORT,
    ),
)
