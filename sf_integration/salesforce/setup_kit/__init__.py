"""The set-up kit: Salesforce metadata that makes the External Client App of a connection, so that forty clicks become one
deploy. Not tried on a real org.

Holds the certificate, never a private key or consumer secret.
"""

from __future__ import annotations

import io
import re
import zipfile

from .kit import CALLBACK_URL, Kit, is_made_here, new_consumer_key
from .metadata import FOLDERS, GLOBAL_FOLDER, SOURCE, metadata, project
from .names import api_name
from .names import clean as one_line
from .objects import FieldAccess, ObjectAccess, Rights, read_objects
from .readme import TITLE, assign_command, deploy_command, readme

__all__ = [
    "CALLBACK_URL",
    "FieldAccess",
    "Kit",
    "ObjectAccess",
    "Rights",
    "api_name",
    "assign_command",
    "deploy_command",
    "files",
    "is_kit_file",
    "is_kit_readme",
    "is_made_here",
    "new_consumer_key",
    "one_line",
    "read_objects",
    "to_zip",
]

_METADATA_FILE = re.compile(
    rf"{SOURCE}/(?:{'|'.join(rf'{folder}/[A-Za-z0-9_]+[.]{suffix}' for folder, suffix in FOLDERS.items())})-meta[.]xml\Z"
)
_EARLIEST_TIME_IN_A_ZIP = (1980, 1, 1, 0, 0, 0)


def files(kit: Kit) -> dict[str, str]:
    """Relative path to text of every file. README.md comes first: it tells a kit from other folders."""
    return {
        "README.md": readme(kit),
        ".gitignore": _GITIGNORE,
        "sfdx-project.json": project(kit),
        **dict(metadata(kit)),
    }


def is_kit_file(path: str) -> bool:
    """Whether a kit, of whatever app, may hold a file of this relative path."""
    return path in ("README.md", ".gitignore", "sfdx-project.json") or bool(_METADATA_FILE.match(path))


def is_kit_readme(text: str) -> bool:
    return text.startswith(TITLE)


def to_zip(kit: Kit) -> bytes:
    """All of it in one folder of the app's name; the same bytes for the same kit."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files(kit).items():
            entry = zipfile.ZipInfo(f"{kit.app}/{path}", _EARLIEST_TIME_IN_A_ZIP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # so that every machine writes the same, with these rights
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, text)
    return packed.getvalue()


_GITIGNORE = f"""\
# Salesforce: the global OAuth settings don't belong under version control.
/{SOURCE}/{GLOBAL_FOLDER}/
/.sf/
/.sfdx/
"""
