"""The kit's metadata files, in source format: folders, suffixes and elements as Salesforce has them.

Source: Metadata API Developer Guide, "ExternalClientApplication" and the types named ExtlClntApp…, "PermissionSet";
type registry of source-deploy-retrieve 12.37. The order of the elements is the alphabet's, as the command line tool
writes them. A file of another suffix is not found, or skipped in silence.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET  # builds only, reads nothing
from collections.abc import Iterator

from .. import keys
from . import names
from .kit import Kit
from .objects import ObjectAccess, Rights

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
SOURCE = "force-app/main/default"
GLOBAL_FOLDER = "extlClntAppGlobalOauthSets"
FOLDERS = {
    "externalClientApps": "eca",
    GLOBAL_FOLDER: "ecaGlblOauth",
    "extlClntAppOauthSettings": "ecaOauth",
    "extlClntAppOauthPolicies": "ecaOauthPlcy",
    "extlClntAppPolicies": "ecaPlcy",
    "permissionsets": "permissionset",
}
"""Each folder's suffix."""

Parts = list["tuple[str, str | Parts]"]


def project(kit: Kit) -> str:
    """sfdx-project.json."""
    facts = {
        "packageDirectories": [{"path": "force-app", "default": True}],
        "name": kit.app,
        "namespace": "",
        "sourceApiVersion": kit.api_version,
    }
    return json.dumps(facts, indent=2) + "\n"


def metadata(kit: Kit) -> Iterator[tuple[str, str]]:
    """Path and text of each metadata file."""
    app = kit.app
    yield _path("externalClientApps", app), _app(kit)
    yield _path(GLOBAL_FOLDER, f"{app}_global"), _global_settings(kit)
    yield _path("extlClntAppOauthSettings", f"{app}_oauth"), _scopes(kit)
    yield _path("extlClntAppOauthPolicies", f"{app}_oauth_defaultPolicy"), _users(kit)
    yield _path("extlClntAppPolicies", f"{app}_defaultPolicy"), _switches(kit)
    yield _path("permissionsets", kit.permission_set), _permission_set(kit)


def _path(folder: str, name: str) -> str:
    return f"{SOURCE}/{folder}/{name}.{FOLDERS[folder]}-meta.xml"


def _app(kit: Kit) -> str:
    return _document(
        "ExternalClientApplication",
        [
            ("contactEmail", kit.contact_email),
            ("distributionState", "Local"),
            ("isProtected", "false"),
            ("label", kit.title),
        ],
    )


def _global_settings(kit: Kit) -> str:
    key: Parts = [("consumerKey", kit.consumer_key)] if kit.consumer_key is not None else []
    return _document(
        "ExtlClntAppGlobalOauthSettings",
        [
            ("callbackUrl", kit.callback_url),
            ("certificate", keys.read_certificate(kit.certificate.encode()).pem.strip()),
            *key,
            ("externalClientApplication", kit.app),
            ("label", names.label(kit.title, " global")),
            ("shouldRotateConsumerKey", "false"),
        ],
    )


def _scopes(kit: Kit) -> str:
    return _document(
        "ExtlClntAppOauthSettings",
        [
            ("commaSeparatedOauthScopes", "Api, RefreshToken"),
            ("externalClientApplication", kit.app),
            ("label", names.label(kit.title, " scopes")),
        ],
    )


def _users(kit: Kit) -> str:
    minutes: Parts = (
        [("sessionTimeoutInMinutes", str(kit.session_minutes))] if kit.session_minutes is not None else []
    )
    return _document(
        "ExtlClntAppOauthConfigurablePolicies",
        [
            ("commaSeparatedPermissionSet", kit.permission_set),
            ("externalClientApplication", kit.app),
            ("ipRelaxationPolicyType", "Enforce"),
            ("label", names.label(kit.title, " users")),
            ("permittedUsersPolicyType", "AdminApprovedPreAuthorized"),
            *minutes,
        ],
    )


def _switches(kit: Kit) -> str:
    return _document(
        "ExtlClntAppConfigurablePolicies",
        [
            ("externalClientApplication", kit.app),
            ("isEnabled", "true"),
            ("isOauthPluginEnabled", "true"),
            ("label", names.label(kit.title, " on")),
        ],
    )


def _permission_set(kit: Kit) -> str:
    """Without a licence: so any user can have it whose own licence allows the rights in it."""
    fields: Parts = [part for each in kit.objects for part in _field_permissions(each)]
    return _document(
        "PermissionSet",
        [
            *fields,
            ("hasActivationRequired", "false"),
            ("label", names.label(kit.title, " Access")),
            *(("objectPermissions", _object_permission(each)) for each in kit.objects),
            ("userPermissions", [("enabled", "true"), ("name", "ApiEnabled")]),
        ],
    )


def _field_permissions(access: ObjectAccess) -> Parts:
    return [
        (
            "fieldPermissions",
            [
                ("editable", _word(field.editable)),
                ("field", f"{access.name}.{field.name}"),
                ("readable", "true"),
            ],
        )
        for field in access.fields
    ]


def _object_permission(access: ObjectAccess) -> Parts:
    may_write = access.rights in (Rights.WRITE, Rights.DELETE)
    return [
        ("allowCreate", _word(may_write)),
        ("allowDelete", _word(access.rights is Rights.DELETE)),
        ("allowEdit", _word(may_write)),
        ("allowRead", "true"),
        ("modifyAllRecords", "false"),
        ("object", access.name),
        ("viewAllRecords", "false"),
    ]


def _word(value: bool) -> str:
    return "true" if value else "false"


def _document(kind: str, parts: Parts) -> str:
    root = ET.Element(kind, {"xmlns": NAMESPACE})
    _fill(root, parts)
    ET.indent(root, "    ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _fill(parent: ET.Element, parts: Parts) -> None:
    for tag, value in parts:
        child = ET.SubElement(parent, tag)
        if isinstance(value, str):
            child.text = value
        else:
            _fill(child, value)
