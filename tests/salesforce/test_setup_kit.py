"""The set-up kit against what Salesforce's guide, type registry and published deployments say, written out here."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import xml.etree.ElementTree as ET
import zipfile
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sf_integration.salesforce import keys, setup_kit
from sf_integration.salesforce.errors import InvalidInput
from sf_integration.salesforce.setup_kit import FieldAccess, Kit, ObjectAccess, Rights, files, read_objects

NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
SOURCE = "force-app/main/default/"

# Path, kind and elements in order, as in the protocol notes on External Client Apps as metadata.
EXPECTED = {
    "externalClientApps/Harbor_Sync.eca-meta.xml": (
        "ExternalClientApplication",
        ["contactEmail", "distributionState", "isProtected", "label"],
    ),
    "extlClntAppGlobalOauthSets/Harbor_Sync_global.ecaGlblOauth-meta.xml": (
        "ExtlClntAppGlobalOauthSettings",
        [
            "callbackUrl",
            "certificate",
            "consumerKey",
            "externalClientApplication",
            "label",
            "shouldRotateConsumerKey",
        ],
    ),
    "extlClntAppOauthSettings/Harbor_Sync_oauth.ecaOauth-meta.xml": (
        "ExtlClntAppOauthSettings",
        ["commaSeparatedOauthScopes", "externalClientApplication", "label"],
    ),
    "extlClntAppOauthPolicies/Harbor_Sync_oauth_defaultPolicy.ecaOauthPlcy-meta.xml": (
        "ExtlClntAppOauthConfigurablePolicies",
        [
            "commaSeparatedPermissionSet",
            "externalClientApplication",
            "ipRelaxationPolicyType",
            "label",
            "permittedUsersPolicyType",
            "sessionTimeoutInMinutes",
        ],
    ),
    "extlClntAppPolicies/Harbor_Sync_defaultPolicy.ecaPlcy-meta.xml": (
        "ExtlClntAppConfigurablePolicies",
        ["externalClientApplication", "isEnabled", "isOauthPluginEnabled", "label"],
    ),
    "permissionsets/Harbor_Sync_Access.permissionset-meta.xml": (
        "PermissionSet",
        ["fieldPermissions", "hasActivationRequired", "label", "objectPermissions", "userPermissions"],
    ),
}
VALUES = {
    "contactEmail": "ops@harbor.example",
    "distributionState": "Local",
    "isProtected": "false",
    "callbackUrl": "https://localhost/callback",
    "consumerKey": "ab" * 32,
    "externalClientApplication": "Harbor_Sync",
    "shouldRotateConsumerKey": "false",
    "commaSeparatedOauthScopes": "Api, RefreshToken",
    "commaSeparatedPermissionSet": "Harbor_Sync_Access",
    "ipRelaxationPolicyType": "Enforce",
    "permittedUsersPolicyType": "AdminApprovedPreAuthorized",
    "sessionTimeoutInMinutes": "60",
    "isEnabled": "true",
    "isOauthPluginEnabled": "true",
    "hasActivationRequired": "false",
}
LABELS = {
    "eca": "Harbor Sync",
    "ecaGlblOauth": "Harbor Sync global",
    "ecaOauth": "Harbor Sync scopes",
    "ecaOauthPlcy": "Harbor Sync users",
    "ecaPlcy": "Harbor Sync on",
    "permissionset": "Harbor Sync Access",
}


@cache
def key_and_certificate() -> tuple[str, str]:
    key = keys.make_key()
    pem = keys.make_certificate(key, common_name="harbor", days=30).pem
    return keys.to_der(key).hex(), pem


def kit(**values: object) -> Kit:
    made = Kit(
        label="Harbor Sync",
        certificate=key_and_certificate()[1],
        contact_email="ops@harbor.example",
        consumer_key="ab" * 32,
        username="integration@harbor.example",
        login_url="https://harbor.my.salesforce.com",
    )
    return dataclasses.replace(made, **values)  # type: ignore[arg-type]


def full() -> Kit:
    objects = read_objects("Account Contact:write Contact.Birthdate:write Contact.Fax")
    return kit(session_minutes=60, objects=objects)


def metadata(of: Kit) -> dict[str, ET.Element]:
    """The parsed metadata files by path below the source folder."""
    return {
        path.removeprefix(SOURCE): ET.fromstring(text)
        for path, text in files(of).items()
        if path.startswith(SOURCE)
    }


def tags(element: ET.Element) -> list[str]:
    return [child.tag.removeprefix(NAMESPACE) for child in element]


def values(element: ET.Element, tag: str) -> list[str]:
    return [child.text or "" for child in element.iter(NAMESPACE + tag)]


# ---- the files ------------------------------------------------------------------------------------------------------


def test_folders_suffixes_kinds_and_order_of_elements_are_salesforces() -> None:
    found = {
        path: (root.tag.removeprefix(NAMESPACE), list(dict.fromkeys(tags(root))))
        for path, root in metadata(full()).items()
    }
    assert found == EXPECTED


def test_elements_stand_in_the_order_of_the_alphabet() -> None:
    for root in metadata(full()).values():
        assert tags(root) == sorted(tags(root))


def test_values_are_those_that_make_the_jwt_flow_work() -> None:
    for path, root in metadata(full()).items():
        for child in root:
            tag = child.tag.removeprefix(NAMESPACE)
            if tag in VALUES:
                assert child.text == VALUES[tag], (path, tag)
        assert values(root, "label") == [LABELS[path.split(".")[1].removesuffix("-meta")]]


def test_certificate_goes_in_as_whole_pem_with_its_line_breaks() -> None:
    (sent,) = values(
        metadata(kit())["extlClntAppGlobalOauthSets/Harbor_Sync_global.ecaGlblOauth-meta.xml"], "certificate"
    )
    assert sent == key_and_certificate()[1].strip()
    assert sent.startswith("-----BEGIN CERTIFICATE-----\n")
    assert sent.endswith("\n-----END CERTIFICATE-----")


def test_every_file_begins_with_the_declaration_and_names_the_namespace_once() -> None:
    for path, text in files(full()).items():
        if path.startswith(SOURCE):
            assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<')
            assert text.count("xmlns=") == 1


def test_org_that_makes_the_consumer_key_is_sent_none() -> None:
    for root in metadata(kit(consumer_key=None)).values():
        assert "consumerKey" not in tags(root)


def test_session_length_is_left_to_the_org_unless_asked_for() -> None:
    for root in metadata(kit()).values():
        assert "sessionTimeoutInMinutes" not in tags(root)


def test_permission_set_opens_what_was_asked_for_and_nothing_else() -> None:
    root = metadata(full())["permissionsets/Harbor_Sync_Access.permissionset-meta.xml"]

    def told(tag: str) -> list[dict[str, str]]:
        return [
            {part.tag.removeprefix(NAMESPACE): part.text or "" for part in child}
            for child in root
            if child.tag == NAMESPACE + tag
        ]

    rights = ("allowCreate", "allowDelete", "allowEdit", "allowRead", "modifyAllRecords")

    def opened(name: str, *yes: str) -> dict[str, str]:
        return {right: "true" if right in yes else "false" for right in rights} | {
            "object": name,
            "viewAllRecords": "false",
        }

    assert told("objectPermissions") == [
        opened("Account", "allowRead"),
        opened("Contact", "allowRead", "allowCreate", "allowEdit"),
    ]
    assert told("fieldPermissions") == [
        {"editable": "true", "field": "Contact.Birthdate", "readable": "true"},
        {"editable": "false", "field": "Contact.Fax", "readable": "true"},
    ]
    assert told("userPermissions") == [{"enabled": "true", "name": "ApiEnabled"}]
    for each in root.iter():
        assert tags(each) == sorted(tags(each))
        assert each.tag != NAMESPACE + "license"


def test_project_file_names_folder_and_api_version() -> None:
    project = json.loads(files(kit(api_version="62.0"))["sfdx-project.json"])
    assert project["packageDirectories"] == [{"path": "force-app", "default": True}]
    assert project["sourceApiVersion"] == "62.0"


def test_global_settings_are_kept_out_of_version_control() -> None:
    made = files(kit())
    ignored = [line.strip("/") for line in made[".gitignore"].splitlines() if not line.startswith("#")]
    (secretive,) = [path for path in made if "ecaGlblOauth" in path]
    assert any(secretive.startswith(f"{folder}/") for folder in ignored)


def test_no_secret_is_in_any_file() -> None:
    der, certificate = key_and_certificate()
    for text in files(full()).values():
        assert "PRIVATE KEY" not in text
        assert "consumerSecret" not in text
        assert "shouldRotateConsumerSecret" not in text
        assert der[:64] not in text
    # And the key that lies beside the certificate in one PEM file stays out.
    private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    assert not any("PRIVATE" in text for text in files(kit(certificate=private + certificate)).values())


def test_kit_knows_its_own_files_and_no_others() -> None:
    assert all(setup_kit.is_kit_file(path) for path in files(kit(label="Other")))
    for other in (
        f"{SOURCE}externalClientApps/Notes.txt",
        f"{SOURCE}permissionsets/A.eca-meta.xml",
        f"{SOURCE}permissionsets/../A.permissionset-meta.xml",
        "server.key",
    ):
        assert not setup_kit.is_kit_file(other)


# ---- its README -----------------------------------------------------------------------------------------------------


def test_readme_says_that_it_was_not_tried_and_gives_the_two_commands() -> None:
    text = files(full())["README.md"]
    assert "**Not tried on a real org.**" in text
    assert "sf project deploy start --source-dir force-app --target-org ORG --dry-run\n" in text
    assert (
        "sf org assign permset --name Harbor_Sync_Access --on-behalf-of integration@harbor.example --target-org ORG\n"
        in text
    )
    assert (
        "sf org assign permsetlicense --name SalesforceAPIIntegrationPsl --on-behalf-of integration@harbor.example"
        in text
    )
    assert "Nothing has to be copied back" in text
    assert "sf project retrieve" not in text


def test_readme_tells_how_to_read_a_minted_key_back() -> None:
    text = files(kit(consumer_key=None, finish="manage.py salesforce import harbor"))["README.md"]
    assert (
        '--metadata "ExtlClntAppGlobalOauthSettings:Harbor_Sync_global" --target-metadata-dir ../Harbor_Sync-consumer-key'
        in text
    )
    assert "manage.py salesforce import harbor" in text
    assert "Nothing has to be copied back" not in text


def test_username_cannot_put_a_second_command_into_the_readme() -> None:
    text = files(kit(username="a@b.example;rm"))["README.md"]
    assert "--on-behalf-of 'a@b.example;rm' " in text


# ---- the archive ----------------------------------------------------------------------------------------------------


def test_archive_holds_the_same_files_and_is_the_same_each_time() -> None:
    packed = setup_kit.to_zip(full())
    assert packed == setup_kit.to_zip(full())
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        found = {
            name.removeprefix("Harbor_Sync/"): archive.read(name).decode() for name in archive.namelist()
        }
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
    assert found == files(full())


# ---- names and labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Harbor Sync", "Harbor_Sync"),
        ("Müller & Söhne", "Muller_Sohne"),
        ("Straße", "Strasse"),
        ("Ærø Færge", "AEro_Faerge"),
        ("Łódź", "Lodz"),
        ("  --acme__prod--  ", "acme_prod"),
        ("3M", "App_3M"),
        ("Rocket 🚀 Sync", "Rocket_Sync"),
        ("A" * 80, "A" * 60),
        ("A" * 59 + " " + "B" * 20, "A" * 59),
        ("日本", "acme_prod"),
        ("", "acme_prod"),
    ],
)
def test_api_name_of_odd_labels(label: str, name: str) -> None:
    assert setup_kit.api_name(label, "acme-prod") == name


def test_api_name_without_any_letter_is_still_one() -> None:
    assert setup_kit.api_name("🚀", "---") == "Salesforce_Connection"


@example("🚀" * 80)
@example("A" * 79 + "🚀")
@given(st.text(max_size=200) | st.text("äöüß&_ 3A🚀\u200d\u0301\x00\ud800\uffff<>", max_size=120))
def test_any_label_makes_names_and_labels_that_salesforce_takes(label: str) -> None:
    made = kit(label=label)
    paths = list(metadata(made))
    assert len({path.lower() for path in paths}) == len(EXPECTED)
    for path, root in metadata(made).items():
        name = path.split("/")[1].split(".")[0]
        assert re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name), name
        assert len(name) <= 80
        (shown,) = values(root, "label")
        assert 0 < len(shown.encode("utf-16-le")) // 2 <= 80
        assert shown == shown.strip()
        for app in values(root, "externalClientApplication"):
            assert app == made.app
    files(made)["README.md"].encode()


@given(st.text("abcXYZ &<>'\"ü🚀", min_size=1, max_size=60))
def test_label_comes_out_of_the_xml_as_it_went_in(label: str) -> None:
    wanted = " ".join(label.split())
    root = metadata(kit(label=label))[f"externalClientApps/{kit(label=label).app}.eca-meta.xml"]
    if wanted:
        assert values(root, "label") == [wanted]


# ---- objects as people type them ------------------------------------------------------------------------------------


def test_objects_are_read_with_their_rights() -> None:
    assert read_objects("Contact:write, Account\nInvoice__c:DELETE;Contact.Fax") == (
        ObjectAccess("Account"),
        ObjectAccess("Contact", Rights.WRITE, (FieldAccess("Fax"),)),
        ObjectAccess("Invoice__c", Rights.DELETE),
    )
    assert read_objects(" , ") == ()


def test_a_field_finds_its_object_however_that_is_spelled() -> None:
    assert read_objects("Account.Industry, account") == (
        ObjectAccess("account", fields=(FieldAccess("Industry"),)),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Account:all", "“all” behind Account is no right"),
        ("Acc-ount", "can't be the sObject's API name"),
        ("Account.Na me", "named twice|can't be|needs its object"),
        ("Account, account:write", "account is named twice"),
        ("Contact.Fax", "needs its object too: add Contact"),
        ("Contact Contact.Fax:write", "add Contact:write"),
        ("Contact:write Contact.Fax:delete", "can't be deleted from"),
        ("Contact.Account.Name", "is no field of one object"),
        ("../etc", "is no field of one object"),
    ],
)
def test_what_is_no_object_is_refused_with_a_sentence(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_objects(text)


# ---- what Salesforce could not take ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"certificate": "-----BEGIN PRIVATE KEY-----"}, "not a certificate"),
        ({"contact_email": "nobody"}, "no e-mail address"),
        ({"contact_email": "a@b.c\x00d"}, "no e-mail address"),
        ({"consumer_key": ""}, "consumer key is empty"),
        ({"consumer_key": "3MVG9 x"}, "consumer key is empty"),
        ({"consumer_key": "x" * 513}, "longer than 512"),
        ({"session_minutes": 45}, "can't last 45 minutes"),
        ({"api_version": "59.0"}, "60.0 or newer"),
        ({"api_version": "67"}, "60.0 or newer"),
        ({"callback_url": "localhost"}, "no https address"),
        ({"username": "a\nb"}, "username has blanks"),
    ],
)
def test_wrong_value_is_refused_with_a_sentence(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        kit(**wrong)


def test_consumer_keys_made_here_are_64_hex_digits_and_differ() -> None:
    first, second = setup_kit.new_consumer_key(), setup_kit.new_consumer_key()
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert first != second
    assert setup_kit.is_made_here(first)
    assert not setup_kit.is_made_here("3MVG9" + "x" * 80)
