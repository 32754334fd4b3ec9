"""The sObjects of the stand-in and their fields, and how Salesforce describes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

FieldType = Literal[
    "id", "string", "textarea", "boolean", "int", "double", "currency", "date", "datetime",
    "email", "phone", "url", "picklist", "reference", "address",
]  # fmt: skip

_SOAP_TYPES = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double",
    "currency": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime", "address": "urn:address",
}  # fmt: skip

ADDRESS_PARTS = (
    "City",
    "Country",
    "GeocodeAccuracy",
    "Latitude",
    "Longitude",
    "PostalCode",
    "State",
    "Street",
)


_ALWAYS_SEEN = ("Id", "IsDeleted", "CreatedDate", "LastModifiedDate", "SystemModstamp")


@dataclass(frozen=True)
class Field:
    """One field of an sObject."""

    name: str
    type: FieldType
    length: int = 0
    required: bool = False
    """Must be given when a record is made."""
    writable: bool = True
    options: tuple[str, ...] = ()
    """The values of a restricted picklist."""
    target: str = ""
    """With type "reference": the sObject referred to."""
    relationship: str = ""
    """With type "reference": the name that leads to the parent."""
    children: str = ""
    """With type "reference": the name that leads from the parent to its children."""
    external_id: bool = False

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def is_text(self) -> bool:
        return self.type in ("string", "textarea", "email", "phone", "url", "picklist")

    @property
    def is_id(self) -> bool:
        return self.type in ("id", "reference")

    @property
    def filterable(self) -> bool:
        return self.type != "address" and not (self.type == "textarea" and self.length > 255)

    @property
    def groupable(self) -> bool:
        return self.filterable and self.type not in ("double", "currency", "datetime")

    @property
    def label(self) -> str:
        return _label(self.name)

    def describe(self) -> dict[str, Any]:
        numeric = self.type in ("double", "currency")
        return {
            "aggregatable": self.filterable,
            "aiPredictionField": False,
            "autoNumber": False,
            "byteLength": self.length * 3,
            "calculated": False,
            "calculatedFormula": None,
            "cascadeDelete": False,
            "caseSensitive": False,
            "compoundFieldName": _compound_of(self.name),
            "controllerName": None,
            "createable": self.writable,
            "custom": self.custom,
            "defaultValue": False if self.type == "boolean" else None,
            "defaultValueFormula": None,
            "defaultedOnCreate": not self.writable,
            "dependentPicklist": False,
            "deprecatedAndHidden": False,
            "digits": 8 if self.type == "int" else 0,
            "displayLocationInDecimal": False,
            "encrypted": False,
            "externalId": self.external_id,
            "extraTypeInfo": None,
            "filterable": self.filterable,
            "filteredLookupInfo": None,
            "formulaTreatNullNumberAsZero": False,
            "groupable": self.groupable,
            "highScaleNumber": False,
            "htmlFormatted": False,
            "idLookup": self.type == "id" or self.external_id,
            "inlineHelpText": None,
            "label": self.label,
            "length": self.length,
            "mask": None,
            "maskType": None,
            "name": self.name,
            "nameField": self.name in ("Name", "CaseNumber"),
            "namePointing": False,
            "nillable": not self.required and self.type not in ("id", "boolean"),
            "permissionable": self.writable and not self.required,
            "picklistValues": [
                {"active": True, "defaultValue": False, "label": option, "validFor": None, "value": option}
                for option in self.options
            ],
            "polymorphicForeignKey": False,
            "precision": 18 if numeric else 0,
            "queryByDistance": self.type == "address",
            "referenceTargetField": None,
            "referenceTo": [self.target] if self.target else [],
            "relationshipName": self.relationship or None,
            "relationshipOrder": None,
            "restrictedDelete": False,
            "restrictedPicklist": bool(self.options),
            "scale": 2 if numeric else 0,
            "searchPrefilterable": False,
            "soapType": _SOAP_TYPES.get(self.type, "xsd:string"),
            "sortable": self.filterable,
            "type": self.type,
            "unique": False,
            "updateable": self.writable,
            "writeRequiresMasterRead": False,
        }


@dataclass(frozen=True)
class SObject:
    """One kind of record."""

    name: str
    label_plural: str
    prefix: str
    """The first three characters of its ids."""
    fields: tuple[Field, ...]
    writable: bool = True

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """Fields by their lower-case name: Salesforce doesn't mind case."""
        return {field.name.lower(): field for field in self.fields}

    @cached_property
    def by_relationship(self) -> Mapping[str, Field]:
        return {field.relationship.lower(): field for field in self.fields if field.relationship}

    @cached_property
    def columns(self) -> tuple[Field, ...]:
        """The fields that are stored; compound ones are put together from their parts."""
        return tuple(field for field in self.fields if field.type != "address")

    @property
    def can_be_deleted(self) -> bool:
        return "isdeleted" in self.by_name

    def describe_short(self, base_path: str) -> dict[str, Any]:
        """The entry of the global describe. `base_path` is `/services/data/vXX.0`."""
        path = f"{base_path}/sobjects/{self.name}"
        return {
            "activateable": False,
            "associateEntityType": None,
            "associateParentEntity": None,
            "createable": self.writable,
            "custom": False,
            "customSetting": False,
            "deepCloneable": False,
            "deletable": self.writable,
            "deprecatedAndHidden": False,
            "feedEnabled": False,
            "hasSubtypes": False,
            "isInterface": False,
            "isSubtype": False,
            "keyPrefix": self.prefix,
            "label": self.name,
            "labelPlural": self.label_plural,
            "layoutable": True,
            "mergeable": False,
            "mruEnabled": True,
            "name": self.name,
            "queryable": True,
            "replicateable": True,
            "retrieveable": True,
            "searchable": True,
            "triggerable": True,
            "undeletable": self.writable,
            "updateable": self.writable,
            "urls": {"rowTemplate": f"{path}/{{ID}}", "describe": f"{path}/describe", "sobject": path},
        }

    def describe(self, base_path: str, schema: Schema) -> dict[str, Any]:
        """The full description; `schema` tells which children there are."""
        return {
            **self.describe_short(base_path),
            "actionOverrides": [],
            "childRelationships": [
                {
                    "cascadeDelete": False,
                    "childSObject": child.name,
                    "deprecatedAndHidden": False,
                    "field": field.name,
                    "junctionIdListNames": [],
                    "junctionReferenceTo": [],
                    "relationshipName": field.children,
                    "restrictedDelete": False,
                }
                for child, field in schema.children_of(self)
            ],
            "compactLayoutable": True,
            "defaultImplementation": None,
            "extendedBy": None,
            "extendsInterfaces": None,
            "fields": [field.describe() for field in self.fields],
            "implementedBy": None,
            "implementsInterfaces": None,
            "listviewable": None,
            "lookupLayoutable": None,
            "namedLayoutInfos": [],
            "networkScopeFieldName": None,
            "recordTypeInfos": [],
            "searchLayoutable": True,
            "sobjectDescribeOption": "FULL",
            "supportedScopes": [{"label": f"All {self.label_plural.lower()}", "name": "everything"}],
        }


class Schema:
    """The sObjects there are, for everybody or for one user."""

    def __init__(self, sobjects: Iterable[SObject], hidden: AbstractSet[str] = frozenset()) -> None:
        self._by_name = {sobject.name.lower(): sobject for sobject in sobjects}
        self._hidden = hidden

    @property
    def sobjects(self) -> Collection[SObject]:
        return self._by_name.values()

    def find(self, name: str) -> SObject | None:
        """An sObject by its name, in any case."""
        return self._by_name.get(name.lower())

    def get(self, name: str) -> SObject:
        """An sObject that is surely there, by its name."""
        return self._by_name[name.lower()]

    def children_of(self, parent: SObject) -> list[tuple[SObject, Field]]:
        """The sObjects and fields that refer to this one by a named relationship."""
        return [
            (child, field)
            for child in self.sobjects
            for field in child.fields
            if field.target == parent.name and field.children
        ]

    def hides(self, name: str) -> bool:
        """Whether this sObject, or this field as "Contact.Email", is kept from the user."""
        return name.lower() in self._hidden

    def without(self, hidden: AbstractSet[str]) -> Schema:
        """What somebody sees who may not see these sObjects and fields, named in lower case.

        Required and system fields are always seen, as in Salesforce. The parts of a compound address are hidden
        with it, and it with any of them.
        """
        visible = (
            replace(sobject, fields=_visible_fields(sobject, hidden))
            for sobject in self.sobjects
            if sobject.name.lower() not in hidden
        )
        return Schema(visible, hidden)


def _visible_fields(sobject: SObject, hidden: AbstractSet[str]) -> tuple[Field, ...]:
    gone = {field.name for field in sobject.fields if f"{sobject.name}.{field.name}".lower() in hidden}
    compounds = {_compound_of(name) or name for name in gone}
    return tuple(
        field
        for field in sobject.fields
        if field.required
        or field.name in _ALWAYS_SEEN
        or (field.name not in gone and field.name not in compounds and _compound_of(field.name) not in gone)
    )


def visible(hidden: AbstractSet[str]) -> Schema:
    """The schema of a user from whom these sObjects and fields are hidden, named in any case."""
    return _visible(frozenset(name.lower() for name in hidden)) if hidden else SCHEMA


@lru_cache(maxsize=64)
def _visible(hidden: frozenset[str]) -> Schema:
    return SCHEMA.without(hidden)


def find(name: str) -> SObject | None:
    """An sObject by its name, in any case, whoever may see it."""
    return SCHEMA.find(name)


def get(name: str) -> SObject:
    """An sObject that is surely there, by its name."""
    return SCHEMA.get(name)


def _label(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name.removesuffix("__c"))


def _compound_of(name: str) -> str | None:
    for kind in ("Billing", "Mailing"):
        if name.startswith(kind) and name.removeprefix(kind) in ADDRESS_PARTS:
            return f"{kind}Address"
    return None


def _text(name: str, length: int = 255, **more: Any) -> Field:
    return Field(name, "string", length, **more)


def _long_text(name: str) -> Field:
    return Field(name, "textarea", 32_000)


def _picklist(name: str, *options: str) -> Field:
    return Field(name, "picklist", 255, options=options)


def _lookup(name: str, target: str, children: str = "", **more: Any) -> Field:
    relationship = name.removesuffix("Id")
    return Field(name, "reference", 18, target=target, relationship=relationship, children=children, **more)


def _address(kind: str) -> tuple[Field, ...]:
    return (
        Field(f"{kind}Street", "textarea", 255),
        _text(f"{kind}City", 40),
        _text(f"{kind}State", 80),
        _text(f"{kind}PostalCode", 20),
        _text(f"{kind}Country", 80),
        Field(f"{kind}Latitude", "double"),
        Field(f"{kind}Longitude", "double"),
        _text(f"{kind}GeocodeAccuracy", 40),
        Field(f"{kind}Address", "address", writable=False),
    )


_ID = Field("Id", "id", 18, writable=False)
_DATES = (
    Field("CreatedDate", "datetime", writable=False),
    Field("LastModifiedDate", "datetime", writable=False),
    Field("SystemModstamp", "datetime", writable=False),
)
_OWNED = (
    Field("IsDeleted", "boolean", writable=False),
    _lookup("OwnerId", "User"),
    *_DATES,
    _lookup("CreatedById", "User", writable=False),
    _lookup("LastModifiedById", "User", writable=False),
)

SOBJECTS: tuple[SObject, ...] = (
    SObject(
        "Account",
        "Accounts",
        "001",
        (
            _ID,
            _text("Name", required=True),
            _text("AccountNumber", 40),
            _picklist("Type", "Prospect", "Customer - Direct", "Customer - Channel", "Partner", "Other"),
            _picklist(
                "Industry", "Food & Beverage", "Hospitality", "Retail", "Shipping", "Technology", "Other"
            ),
            _picklist("Rating", "Hot", "Warm", "Cold"),
            Field("Phone", "phone", 40),
            Field("Website", "url", 255),
            Field("AnnualRevenue", "currency"),
            Field("NumberOfEmployees", "int"),
            _long_text("Description"),
            *_address("Billing"),
            _lookup("ParentId", "Account", "ChildAccounts"),
            Field("LastActivityDate", "date", writable=False),
            _text("ERP_Number__c", 20, external_id=True),
            Field("Customer_Since__c", "date"),
            Field("Key_Account__c", "boolean"),
            *_OWNED,
        ),
    ),
    SObject(
        "Contact",
        "Contacts",
        "003",
        (
            _ID,
            _lookup("AccountId", "Account", "Contacts"),
            _text("LastName", 80, required=True),
            _text("FirstName", 40),
            _picklist("Salutation", "Mr.", "Ms.", "Mrs.", "Dr.", "Prof."),
            _text("Name", 121, writable=False),
            _text("Title", 128),
            _text("Department", 80),
            Field("Email", "email", 80),
            Field("Phone", "phone", 40),
            Field("MobilePhone", "phone", 40),
            Field("Birthdate", "date"),
            Field("HasOptedOutOfEmail", "boolean"),
            _long_text("Description"),
            *_address("Mailing"),
            *_OWNED,
        ),
    ),
    SObject(
        "Opportunity",
        "Opportunities",
        "006",
        (
            _ID,
            _lookup("AccountId", "Account", "Opportunities"),
            _text("Name", 120, required=True),
            Field(
                "StageName",
                "picklist",
                255,
                required=True,
                options=(
                    "Prospecting",
                    "Qualification",
                    "Proposal",
                    "Negotiation",
                    "Closed Won",
                    "Closed Lost",
                ),
            ),
            Field("CloseDate", "date", required=True),
            Field("Amount", "currency"),
            Field("Probability", "double"),
            Field("IsClosed", "boolean", writable=False),
            Field("IsWon", "boolean", writable=False),
            _text("NextStep"),
            _long_text("Description"),
            _text("Order_Number__c", 20, external_id=True),
            *_OWNED,
        ),
    ),
    SObject(
        "Case",
        "Cases",
        "500",
        (
            _ID,
            _text("CaseNumber", 30, writable=False),
            _lookup("AccountId", "Account", "Cases"),
            _lookup("ContactId", "Contact", "Cases"),
            _text("Subject"),
            _picklist("Status", "New", "Working", "Escalated", "Closed"),
            _picklist("Priority", "High", "Medium", "Low"),
            _picklist("Origin", "Phone", "Email", "Web"),
            _long_text("Description"),
            Field("IsClosed", "boolean", writable=False),
            Field("ClosedDate", "datetime", writable=False),
            *_OWNED,
        ),
    ),
    SObject(
        "User",
        "Users",
        "005",
        (
            _ID,
            _text("Username", 80),
            _text("LastName", 80),
            _text("FirstName", 40),
            _text("Name", 121),
            Field("Email", "email", 128),
            _text("Alias", 8),
            _text("UserType", 40),
            Field("IsActive", "boolean"),
            _text("TimeZoneSidKey", 40),
            _text("LanguageLocaleKey", 40),
            _text("LocaleSidKey", 40),
            *_DATES,
        ),
        writable=False,
    ),
    SObject(
        "Organization",
        "Organizations",
        "00D",
        (
            _ID,
            _text("Name", 80),
            _text("OrganizationType", 40),
            _text("InstanceName", 5),
            Field("IsSandbox", "boolean"),
            Field("TrialExpirationDate", "datetime"),
            _text("NamespacePrefix", 15),
            _text("Country", 80),
            _text("LanguageLocaleKey", 40),
            _text("DefaultLocaleSidKey", 40),
            _text("TimeZoneSidKey", 40),
            *_DATES,
        ),
        writable=False,
    ),
)

SCHEMA = Schema(SOBJECTS)
