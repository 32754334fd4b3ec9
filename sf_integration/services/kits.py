"""Set-up kits of connections: put together, with a new connection where there is none yet, and written to a folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from .. import access, audit, keystore
from ..access import Deed
from ..models import AppKind, ConnectedApp, ConnectionDraft, SigningKey
from ..salesforce import setup_kit
from ..salesforce.errors import InvalidInput
from ..salesforce.rest import NEWEST_API_VERSION
from ..salesforce.setup_kit import Kit, ObjectAccess, Rights, read_objects
from . import profiles
from .rotation.letters import addresses

DEFAULT_SESSION_MINUTES = 120
_OLDEST_API_VERSION = 60.0
# Made by the Salesforce CLI when it is used in the folder.
_OF_THE_CLI = (".sf", ".sfdx")


@dataclass(frozen=True)
class NewApp:
    """What a kit for a connection that is not there yet is made from."""

    name: str
    login_url: str
    username: str
    label: str = ""
    signing_key: SigningKey | None = None
    """None: one is made."""
    session_minutes: int = DEFAULT_SESSION_MINUTES


@dataclass(frozen=True)
class Made:
    kit: Kit
    signing_key: SigningKey
    connection: ConnectedApp | None
    """None: not stored yet, since the org makes the consumer key."""


def of_connection(
    connection: ConnectedApp,
    *,
    actor: Any,
    objects: tuple[ObjectAccess, ...] | None = None,
    contact_email: str = "",
) -> Kit:
    """The kit of a stored connection; without `objects` it opens the sample sObject. Raises AccessDenied or InvalidInput."""
    access.require(actor, Deed.MAKE_KIT, connection)
    if connection.app_kind == AppKind.CONNECTED_APP:
        raise InvalidInput(
            _(
                "The kit makes an External Client App, and this connection belongs to a Connected App. Make "
                "another connection with a name and a consumer key of its own: Salesforce takes no consumer key "
                "twice."
            )
        )
    if objects is None:
        objects = (ObjectAccess(connection.sample_sobject),) if connection.sample_sobject else ()
    kit = Kit(
        label=connection.label or connection.name,
        name=connection.name,
        certificate=_certificate(connection.signing_key),
        contact_email=contact_email or _contact(connection.our_contacts, connection.username, actor),
        username=connection.username,
        login_url=connection.login_url,
        consumer_key=connection.consumer_key,
        objects=objects,
        session_minutes=_minutes(connection.session_minutes),
        api_version=_api_version(connection.api_version),
        finish=f"manage.py salesforce check {connection.name}",
    )
    audit.record("made set-up kit", connection, actor=actor)
    return kit


@transaction.atomic
def of_new(
    wanted: NewApp,
    *,
    actor: Any,
    objects: tuple[ObjectAccess, ...] | None = None,
    contact_email: str = "",
    org_mints_key: bool = False,
) -> Made:
    """The kit of a new connection, which is stored with it, unless the org is to make the consumer key.

    Raises AccessDenied, EncryptionKeyMissing, NotAllowedHere or InvalidInput, and then nothing is stored.
    """
    access.require(actor, Deed.MAKE_KIT)
    key = wanted.signing_key or _new_key(wanted.name, actor)
    _certificate(key)
    with transaction.atomic():
        connection = _save(wanted, key, actor)
        kit = of_connection(connection, actor=actor, objects=objects, contact_email=contact_email)
        if not org_mints_key:
            return Made(kit, key, connection)
        # Saved only to hear now, not after the deploy, what would be refused.
        transaction.set_rollback(True)
    audit.record("made set-up kit", key, actor=actor)
    return Made(_without_consumer_key(kit, _import_command(connection, key)), key, None)


@transaction.atomic
def prepare_draft(
    draft: ConnectionDraft,
    *,
    actor: Any,
    objects: tuple[ObjectAccess, ...],
    org_mints_key: bool = False,
) -> None:
    """Settle what the kit of an unfinished set-up holds. The consumer key made for it is kept in the draft, so that nothing
    has to be copied back.

    Raises AccessDenied or InvalidInput, and then nothing is kept.
    """
    access.require(actor, Deed.MAKE_KIT)
    is_made_here = setup_kit.is_made_here(draft.consumer_key)
    if org_mints_key and is_made_here:
        draft.consumer_key = ""
    elif not org_mints_key and not draft.consumer_key:
        draft.consumer_key = setup_kit.new_consumer_key()
    draft.objects_wanted = [item for each in objects for item in _typed(each)]
    of_draft(draft, actor=actor)
    draft.save(update_fields=["objects_wanted", "consumer_key", "updated_at"])
    audit.record("made set-up kit", draft, actor=actor)


def of_draft(draft: ConnectionDraft, *, actor: Any) -> Kit:
    """As prepared. A consumer key that was copied from the org is left out: the org has it. Raises InvalidInput."""
    if draft.app_kind == AppKind.CONNECTED_APP:
        raise InvalidInput(_("The kit makes an External Client App, and this set-up is for a Connected App."))
    if draft.signing_key is None:
        raise InvalidInput(_("The kit needs the certificate: give or make the signing key first."))
    return Kit(
        label=draft.label or draft.name,
        name=draft.name,
        certificate=_certificate(draft.signing_key),
        contact_email=_contact("", draft.username, actor),
        username=draft.username,
        login_url=draft.login_url,
        consumer_key=draft.consumer_key if setup_kit.is_made_here(draft.consumer_key) else None,
        objects=objects_of(draft),
    )


def objects_of(draft: ConnectionDraft) -> tuple[ObjectAccess, ...]:
    return read_objects(" ".join(draft.objects_wanted))


# ---- parts ----------------------------------------------------------------------------------------------------------


def _save(wanted: NewApp, key: SigningKey, actor: Any) -> ConnectedApp:
    values: dict[str, object] = {
        "login_url": wanted.login_url,
        "username": wanted.username,
        "label": wanted.label,
        "app_kind": AppKind.EXTERNAL_CLIENT_APP.value,
        "consumer_key": setup_kit.new_consumer_key(),
        "session_minutes": wanted.session_minutes,
    }
    return profiles.save(wanted.name, values, actor=actor, key=key, must_be_new=True).connection


def _new_key(name: str, actor: Any) -> SigningKey:
    if SigningKey.objects.filter(name=name).exists():
        raise InvalidInput(
            _("There is a signing key “%(name)s” already. If it is meant, give it: --signing-key %(name)s")
            % {"name": name}
        )
    made = keystore.make(name=name)
    audit.record("made key", made, actor=actor)
    return made


def _certificate(key: SigningKey) -> str:
    if not key.certificate:
        raise InvalidInput(
            _(
                "The certificate of the signing key “%(name)s” is not known here, and without it the app can't "
                "be made. Add it first (admin, or import --certificate-file)."
            )
            % {"name": key.name}
        )
    return key.certificate


def _contact(our_contacts: str, username: str, actor: Any) -> str:
    """Whom Salesforce may ask about the app: who looks after it here, who makes the kit, at last the integration user."""
    found: str = next(iter(addresses(our_contacts)), "") or getattr(actor, "email", "") or username
    if not found:
        raise InvalidInput(
            _(
                "Salesforce wants a contact e-mail address for the app, and none is known: give the username of "
                "the integration user first, or your own user here an e-mail address."
            )
        )
    return found


def _minutes(session_minutes: int) -> int | None:
    """What the app has to be told: not what orgs do by themselves."""
    return session_minutes if session_minutes != DEFAULT_SESSION_MINUTES else None


def _api_version(known: str) -> str:
    """One that the org serves."""
    return known if known and float(known) >= _OLDEST_API_VERSION else NEWEST_API_VERSION


def _without_consumer_key(kit: Kit, finish: str) -> Kit:
    return replace(kit, consumer_key=None, finish=finish)


def _import_command(connection: ConnectedApp, key: SigningKey) -> str:
    # On one line: it is copied from a README and a terminal.
    plain = setup_kit.one_line(connection.label)
    label = ["--label", plain] if plain else []
    parts = [
        *("manage.py", "salesforce", "import", connection.name),
        *("--login-url", connection.login_url),
        *("--username", connection.username),
        *("--signing-key", key.name),
        *("--app-kind", connection.app_kind),
        *label,
    ]
    return f"{shlex.join(parts)} --check --consumer-key CONSUMER_KEY"


def _typed(access: ObjectAccess) -> Iterator[str]:
    def behind(rights: Rights) -> str:
        return "" if rights is Rights.READ else f":{rights.value}"

    yield f"{access.name}{behind(access.rights)}"
    for field in access.fields:
        yield f"{access.name}.{field.name}{behind(Rights.WRITE if field.editable else Rights.READ)}"


# ---- into a folder --------------------------------------------------------------------------------------------------


def write(kit: Kit, folder: Path) -> list[Path]:
    """The files of the kit in `folder`, in the place of an earlier kit's. Raises InvalidInput when that holds anything else."""
    made = setup_kit.files(kit)
    try:
        old = _files_of_old_kit(folder)
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o755)
        for path in set(old) - set(made):
            (folder / path).unlink()
        for path, text in made.items():
            _write(folder, path, text)
    except OSError as exc:
        raise InvalidInput(
            _("The kit can't be written to %(folder)s: %(strerror)s. Choose another folder with --out.")
            % {"folder": folder, "strerror": exc.strerror}
        ) from exc
    return [folder / path for path in made]


def _files_of_old_kit(folder: Path) -> list[str]:
    """Relative paths."""
    if not folder.exists() and not folder.is_symlink():
        return []
    if not folder.is_dir():
        raise InvalidInput(_("%(folder)s is no folder. Choose another one with --out.") % {"folder": folder})
    there = [path for path in folder.iterdir() if path.name not in _OF_THE_CLI]
    found = [path for each in there for path in ([each] if each.name != "force-app" else each.rglob("*"))]
    files = [path.relative_to(folder).as_posix() for path in found if path.is_symlink() or not path.is_dir()]
    strange = [path for path in files if not setup_kit.is_kit_file(path) or (folder / path).is_symlink()]
    strange += [
        path.name for path in there if path.is_symlink() or (path.is_dir() and path.name != "force-app")
    ]
    if strange or (there and not _is_kit(folder)):
        raise InvalidInput(
            _(
                "%(folder)s is not empty, and %(file)s is not of a set-up kit: choose another folder with "
                "--out."
            )
            % {"folder": folder, "file": strange[0] if strange else there[0].name}
        )
    return files


def _is_kit(folder: Path) -> bool:
    readme = folder / "README.md"
    return readme.is_file() and setup_kit.is_kit_readme(readme.read_text(errors="replace"))


def _write(folder: Path, path: str, text: str) -> None:
    """Readable to all whatever the umask: the kit goes to another person or machine, and holds no secret."""
    file = folder / path
    for parent in reversed(file.relative_to(folder).parents[:-1]):
        (folder / parent).mkdir(exist_ok=True)
        (folder / parent).chmod(0o755)
    file.write_text(text, encoding="utf-8", newline="")
    file.chmod(0o644)
