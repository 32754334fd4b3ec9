"""What Salesforce's answers look like: shapes typed from the protocol notes, and a comparison that misses nothing.

A shape is a type, a pattern for a text, a tuple of alternatives, a dict with exactly these keys, a list whose items all
have the one shape in it, or else the value itself. Each recorded shape names its section of the notes and how sure it is:
"seen" (documented or recorded), "weak" (told by one report), "unverified" (our guess; nobody should rely on it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Mark = Literal["seen", "weak", "unverified"]


class InOrder(dict[str, Any]):
    """A dict whose keys are recorded in this order."""


@dataclass(frozen=True)
class Recorded:
    """A shape, where it was noted, and how sure it is."""

    section: str
    mark: Mark
    body: Any


def differences(shape: Any, value: Any, where: str = "body") -> Iterator[str]:
    """Every way in which the value is not of the shape, keys missing and keys too many included."""
    if isinstance(shape, dict):
        yield from _dict_differences(shape, value, where)
    elif isinstance(shape, list) and len(shape) == 1:
        yield from _list_differences(shape[0], value, where)
    elif not _matches(shape, value):
        yield f"{where} is not {_name(shape)}: {value!r}"


def _matches(shape: Any, value: Any) -> bool:
    match shape:
        case tuple():
            return any(not list(differences(one, value)) for one in shape)
        case re.Pattern():
            return isinstance(value, str) and shape.fullmatch(value) is not None
        case type():
            return type(value) is shape
    return type(value) is type(shape) and bool(value == shape)


def _name(shape: Any) -> str:
    return shape.__name__ if isinstance(shape, type) else repr(shape)


def _list_differences(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where} is no list: {value!r}"
        return
    for place, item in enumerate(value):
        yield from differences(shape, item, f"{where}[{place}]")


def _dict_differences(shape: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is no object: {value!r}"
        return
    yield from (f"{where}.{name} is missing" for name in shape.keys() - value.keys())
    yield from (f"{where}.{name} is too much" for name in value.keys() - shape.keys())
    if isinstance(shape, InOrder) and shape.keys() == value.keys() and list(shape) != list(value):
        yield f"{where} has another order: {list(value)}"
    for name in shape.keys() & value.keys():
        yield from differences(shape[name], value[name], f"{where}.{name}")


ANYTHING = (str, int, bool, float, list, dict, type(None))
TEXT_OR_NULL = (str, None)
ID18 = re.compile(r"[A-Za-z0-9]{15}[A-Z0-5]{3}")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
URL = re.compile(r"https?://\S+")


def keys(names: str, shape: Any = ANYTHING) -> dict[str, Any]:
    """An object of which the notes tell the keys, and perhaps one shape for all values."""
    return dict.fromkeys(names.split(), shape)


def _path(pattern: str) -> re.Pattern[str]:
    return re.compile(r"/services/data/v67\.0" + pattern)


# 4 Identity, userinfo, introspection

_REST_URL = re.compile(r"https?://[^/]+/services/data/v\{version\}/[a-z/-]*")
_SOAP_URL = re.compile(
    r"https?://[^/]+/services/Soap/[cmuT]/\{version\}/00D[A-Za-z0-9]{12}"
)  # the 15-character id
_URLS = InOrder(
    enterprise=_SOAP_URL,
    metadata=_SOAP_URL,
    partner=_SOAP_URL,
    rest=_REST_URL,
    sobjects=_REST_URL,
    search=_REST_URL,
    query=_REST_URL,
    recent=_REST_URL,
    tooling_soap=_SOAP_URL,
    tooling_rest=_REST_URL,
    profile=URL,
    feeds=_REST_URL,
    groups=_REST_URL,
    users=_REST_URL,
    feed_items=_REST_URL,
    feed_elements=_REST_URL,
    custom_domain=URL,
)
_IDENTITY_URL = re.compile(r"https?://[^/]+/id/00D[A-Za-z0-9]{12}[A-Z0-5]{3}/005[A-Za-z0-9]{12}[A-Z0-5]{3}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
IDENTITY = Recorded(
    "4.1",
    "seen",
    InOrder(
        id=_IDENTITY_URL,
        asserted_user=bool,
        user_id=ID18,
        organization_id=ID18,
        username=str,
        nick_name=str,
        display_name=str,
        email=str,
        email_verified=bool,
        first_name=TEXT_OR_NULL,
        last_name=str,
        timezone=str,
        photos=InOrder(picture=URL, thumbnail=URL),
        addr_street=TEXT_OR_NULL,
        addr_city=TEXT_OR_NULL,
        addr_state=TEXT_OR_NULL,
        addr_country=TEXT_OR_NULL,
        addr_zip=TEXT_OR_NULL,
        mobile_phone=TEXT_OR_NULL,
        mobile_phone_verified=bool,
        is_lightning_login_user=bool,
        status=InOrder(created_date=None, body=None),
        urls=_URLS,
        active=bool,
        user_type="STANDARD",
        language=str,
        locale=str,
        utcOffset=int,
        last_modified_date=_MOMENT,
        is_app_installed=bool,
    ),
)
USERINFO = Recorded(
    "4.2",
    "seen",  # the keys; that phone_number may be null is our guess
    {
        "sub": _IDENTITY_URL,
        "user_id": ID18,
        "organization_id": ID18,
        "preferred_username": str,
        "nickname": str,
        "name": str,
        "email": str,
        "email_verified": bool,
        "given_name": TEXT_OR_NULL,
        "family_name": str,
        "zoneinfo": str,
        "photos": {"picture": URL, "thumbnail": URL},
        "profile": URL,
        "picture": URL,
        "phone_number": TEXT_OR_NULL,
        "phone_number_verified": bool,
        "address": dict,
        "is_salesforce_integration_user": bool,
        "urls": _URLS,
        "active": bool,
        "user_type": "STANDARD",
        "language": str,
        "locale": str,
        "utcOffset": int,
        "updated_at": str,
    },
)
INTROSPECTION = Recorded(
    "4.3",
    "seen",
    InOrder(
        active=True,
        scope=str,
        client_id=re.compile("3MVG9.{80}"),
        username=str,
        sub=_IDENTITY_URL,
        token_type="access_token",
        exp=int,
        iat=int,
        nbf=int,
    ),
)

# 5.1 Headers: name, value. What is not here and not of HTTP itself must not be there.

ALWAYS = {
    "Cache-Control": "no-cache,must-revalidate,max-age=0,no-store,private",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
    "X-Robots-Tag": "none",
    "Set-Cookie": re.compile(r"BrowserId=.*"),
    "Content-Security-Policy": "upgrade-insecure-requests",  # 2.3
    "Expires": "Thu, 01 Jan 1970 00:00:00 GMT",  # 2.3
}
WITH_BODY = {"Content-Type": "application/json;charset=UTF-8"}
AUTHENTICATED = {"Sforce-Limit-Info": re.compile(r"api-usage=\d+/\d+")}
OF_HTTP = {"Date", "Server", "Content-Length", "Transfer-Encoding", "Connection", "Content-Encoding", "Vary"}

# 5.2 to 5.4 Versions, resources, limits

VERSIONS = Recorded(
    "5.2",
    "seen",
    [
        InOrder(
            label=re.compile(r"(Spring|Summer|Winter) '\d\d"),
            url=re.compile(r"/services/data/v\d+\.0"),
            version=re.compile(r"\d+\.0"),
        )
    ],
)
RESOURCES_SEEN = (
    "tooling metadata eclair folders prechatForms contact-tracing jsonxform chatter payments tabs appMenu quickActions "
    "queryAll commerce wave iot analytics search smartdatadiscovery identity"
)
RESOURCES_UNVERIFIED = (
    "composite parameterizedSearch theme nouns recent connect licensing limits process dedupe async-queries query jobs "
    "match localizedvalue mobile emailConnect tokenizer compactLayouts knowledgeManagement sobjects actions support"
)
RESOURCES = Recorded(
    "5.3",
    "seen",  # the first twenty; the set differs from org to org
    {
        **keys(f"{RESOURCES_SEEN} {RESOURCES_UNVERIFIED}", _path(r"/[A-Za-z-]+")),
        "identity": _IDENTITY_URL,
    },
)
_LIMIT = InOrder(Max=int, Remaining=int)
LIMITS = Recorded(
    "5.4",
    "seen",
    {
        **keys(
            "AnalyticsExternalDataSizeMB ConcurrentAsyncGetReportInstances ConcurrentSyncReportRuns "
            "DailyAnalyticsDataflowJobExecutions DailyAsyncApexExecutions DailyBulkApiBatches "
            "DailyBulkV2QueryFileStorageMB DailyBulkV2QueryJobs DailyDurableGenericStreamingApiEvents "
            "DailyDurableStreamingApiEvents DailyGenericStreamingApiEvents DailyStandardVolumePlatformEvents "
            "DailyStreamingApiEvents DailyWorkflowEmails DataStorageMB DurableStreamingApiConcurrentClients "
            "FileStorageMB HourlyAsyncReportRuns HourlyDashboardRefreshes HourlyDashboardResults "
            "HourlyDashboardStatuses HourlyLongTermIdMapping HourlyODataCallout HourlyPublishedPlatformEvents "
            "HourlyShortTermIdMapping HourlySyncReportRuns HourlyTimeBasedWorkflow MassEmail "
            "MonthlyPlatformEventsUsageEntitlement Package2VersionCreates PrivateConnectOutboundCalloutHourlyLimitMB "
            "SingleEmail StreamingApiConcurrentClients",
            _LIMIT,
        ),
        "DailyApiRequests": InOrder({**_LIMIT, "Harbor Sync": {"Max": 0, "Remaining": 0}}),
        "PermissionSets": InOrder({**_LIMIT, "CreateCustom": _LIMIT}),
    },
)

# 5.5 Objects and records

_SHORT = {
    **keys(
        "activateable createable custom customSetting deepCloneable deletable deprecatedAndHidden feedEnabled "
        "hasSubtypes isInterface isSubtype layoutable mergeable mruEnabled queryable replicateable retrieveable "
        "searchable triggerable undeletable updateable",
        bool,
    ),
    "associateEntityType": TEXT_OR_NULL,
    "associateParentEntity": TEXT_OR_NULL,
    "keyPrefix": (re.compile("[A-Za-z0-9]{3}"), None),
    "label": str,
    "labelPlural": str,
    "name": str,
    "urls": {
        "rowTemplate": _path(r"/sobjects/\w+/\{ID\}"),
        "describe": _path(r"/sobjects/\w+/describe"),
        "sobject": _path(r"/sobjects/\w+"),
    },
}
GLOBAL_DESCRIBE = Recorded("5.5", "seen", InOrder(encoding="UTF-8", maxBatchSize=200, sobjects=[_SHORT]))
_FIELD = {
    **keys(
        "aggregatable aiPredictionField autoNumber calculated cascadeDelete caseSensitive createable custom "
        "defaultedOnCreate dependentPicklist deprecatedAndHidden displayLocationInDecimal encrypted externalId "
        "filterable formulaTreatNullNumberAsZero groupable highScaleNumber htmlFormatted idLookup nameField "
        "namePointing nillable permissionable polymorphicForeignKey queryByDistance restrictedDelete "
        "restrictedPicklist searchPrefilterable sortable unique updateable writeRequiresMasterRead",
        bool,
    ),
    **keys("byteLength digits length precision scale", int),
    **keys(
        "calculatedFormula compoundFieldName controllerName defaultValueFormula extraTypeInfo inlineHelpText mask "
        "maskType referenceTargetField relationshipName",
        TEXT_OR_NULL,
    ),
    "defaultValue": ANYTHING,
    "filteredLookupInfo": (dict, None),
    "label": str,
    "name": str,
    "picklistValues": [
        {"active": bool, "defaultValue": bool, "label": str, "validFor": TEXT_OR_NULL, "value": str}
    ],
    "referenceTo": [str],
    "relationshipOrder": (int, None),
    "soapType": re.compile(r"(tns|xsd|urn):\w+"),
    "type": str,
}
DESCRIBE = Recorded(
    "5.5",
    "seen",
    {
        **_SHORT,
        **keys(
            "actionOverrides compactLayoutable defaultImplementation extendedBy extendsInterfaces implementedBy "
            "implementsInterfaces listviewable lookupLayoutable namedLayoutInfos networkScopeFieldName recordTypeInfos "
            "searchLayoutable sobjectDescribeOption supportedScopes"
        ),
        "childRelationships": [dict],
        "fields": [_FIELD],
    },
)
ID_FIELD = Recorded("5.5", "seen", {**_FIELD, "name": "Id", "type": "id", "length": 18, "soapType": "tns:ID"})
BASICS = Recorded("5.5", "unverified", InOrder(objectDescribe=_SHORT, recentItems=list))


def _attributes(name: str) -> InOrder:
    return InOrder(type=name, url=_path(rf"/sobjects/{name}/[A-Za-z0-9]{{15}}[A-Z0-5]{{3}}"))


RECORD = Recorded(
    "5.5",
    "seen",
    InOrder(attributes=_attributes("Account"), Name=str, AccountNumber=str, Id=ID18),
)
CREATED = Recorded("5.5", "seen", InOrder(id=ID18, success=True, errors=[]))
UPSERTED = Recorded("5.5", "seen", InOrder(id=ID18, success=True, errors=[], created=bool))

# 5.6 Query

_PERSON = InOrder(attributes=_attributes("Contact"), LastName=str)
ROW = InOrder(
    attributes=_attributes("Account"),
    Id=ID18,
    Name=str,
    Owner=(InOrder(attributes=_attributes("User"), Name=str), None),
    Contacts=(InOrder(totalSize=int, done=True, records=[_PERSON]), None),  # null when empty: unverified
)
FIRST_PAGE = Recorded(
    "5.6",
    "seen",
    InOrder(
        totalSize=int,
        done=False,
        nextRecordsUrl=_path(r"/query/01g[A-Za-z0-9]{12}[A-Z0-5]{3}-2000"),
        records=[_PERSON],
    ),
)
LAST_PAGE = Recorded("5.6", "seen", InOrder(totalSize=int, done=True, records=[_PERSON]))
ONE_PAGE = Recorded("5.6", "seen", InOrder(totalSize=int, done=True, records=[ROW]))
COUNT = Recorded("5.6", "seen", InOrder(totalSize=int, done=True, records=[]))
AGGREGATE = Recorded(
    "5.6",
    "unverified",
    InOrder(
        totalSize=1,
        done=True,
        records=[InOrder(attributes=InOrder(type="AggregateResult"), expr0=int)],
    ),
)

# 5.7 Composite

_PART = {"body": ANYTHING, "httpHeaders": dict, "httpStatusCode": int, "referenceId": str}
COMPOSITE = Recorded("5.7", "seen", {"compositeResponse": [_PART]})
BATCH = Recorded("5.7", "seen", InOrder(hasErrors=bool, results=[InOrder(statusCode=int, result=ANYTHING)]))
_SAVED = InOrder(id=ID18, success=True, errors=[])
_NOT_SAVED = InOrder(success=False, errors=[InOrder(statusCode=str, message=str, fields=[str])])
COLLECTION = Recorded("5.7", "seen", [(_SAVED, _NOT_SAVED)])
TREE = Recorded("5.7", "seen", InOrder(hasErrors=False, results=[InOrder(referenceId=str, id=ID18)]))
TREE_REFUSED = Recorded(
    "5.7", "seen", InOrder(hasErrors=True, results=[InOrder(referenceId=str, errors=_NOT_SAVED["errors"])])
)

# 5.9 Record ids: 15 characters and the suffix; "recorded" pairs first

ID_PAIRS = {
    "00D36000000arML": "EAY",
    "00536000000IigR": "AAS",
    "001Dn00000Gi7HJ": "IAZ",
    "003RO0000035WQg": "YAM",
    "000000000000000": "AAA",
    "00D5g000004FaKe": "EAK",
    "0055g00000DemoU": "AAR",
    "0015g00000AcCnT": "AAV",
    "0035g00000cOnTa": "AAK",
    "ABCDEABCDEABCDE": "555",
}
PREFIXES = {
    "Account": "001",
    "Contact": "003",
    "User": "005",
    "Opportunity": "006",
    "Organization": "00D",
    "Case": "500",
}
