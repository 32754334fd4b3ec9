"""Every address of the site, with what is done there. One that is missing in these tables fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver

from sf_integration.deeds import Deed

PUBLIC = {"healthz", "readyz", "login", "logout", "", "admin:login", "admin:logout"}
"""Nobody is asked who they are."""
OWN = {
    "password_change", "password_change_done", "admin:index", "admin:password_change",
    "admin:password_change_done", "admin:jsi18n", "admin:autocomplete", "admin:app_list", "admin:",
}  # fmt: skip
"""For whoever is signed in (and staff, in the admin), about themselves or what they may see anyway; or leading elsewhere."""
BY_API_KEY = {"jwtauth", "connections", "health", "openapi", "not_found"}


@dataclass(frozen=True)
class Place:
    deed: Deed
    post: dict[str, str] = field(default_factory=dict)
    of_connection: bool = False
    methods: tuple[str, ...] = ("get", "post")
    private: bool = False
    """Of the person who began it; to others it is not there."""


def _one(deed: Deed, **post: str) -> Place:
    return Place(deed, post, of_connection=True)


PAGES = {
    "metrics": Place(Deed.SEE_METRICS, methods=("get",)),
    "list": Place(Deed.LIST),
    "health_json": Place(Deed.LIST),
    "selected": Place(Deed.CHECK, {"act": "pause"}),
    "audit": Place(Deed.SEE_AUDIT),
    "audit_events": Place(Deed.EXPORT_AUDIT),
    "explain": Place(Deed.READ_GUIDE, {"text": "invalid_grant"}),
    "guide": Place(Deed.READ_GUIDE),
    "alarms": Place(Deed.SEE_ALARMS),
    "alarm_test": Place(Deed.MANAGE_ALARMS),
    "new": Place(Deed.MAKE),
    "login_url": Place(Deed.MAKE, {"login_url": "https://acme.my.salesforce.com"}, methods=("post",)),
    **{
        name: Place(Deed.MAKE, private=True)
        for name in (
            "draft", "draft_change", "draft_key", "draft_certificate", "draft_kit", "draft_kit_download", "draft_check",
            "draft_discard",
        )
    },
    "draft_steps": Place(Deed.MAKE, {"room": "app"}, private=True),
    "keys": Place(Deed.SEE_KEYS),
    "key_certificate": _one(Deed.SEE_KEYS),
    "rotation": _one(Deed.SEE_KEYS),
    "rotation_start": _one(Deed.ROTATE, bits="2048", days="365"),
    "rotation_try": _one(Deed.TRY_STAGED),
    "rotation_act": _one(Deed.ROTATE),
    "detail": _one(Deed.SEE),
    "timeline": _one(Deed.SEE),
    "certificate": _one(Deed.SEE),
    "kit": _one(Deed.MAKE_KIT),
    "check": _one(Deed.CHECK),
    "trace": _one(Deed.SEE),
    "refresh": _one(Deed.RENEW),
    "revoke": _one(Deed.REVOKE),
    "shorten_session": _one(Deed.CORRECT),
    "pause": _one(Deed.PAUSE),
    "resume": _one(Deed.PAUSE),
    "accept_org": _one(Deed.ACCEPT_ORG),
    "use_own_login_url": _one(Deed.CORRECT),
    "find_fault": _one(Deed.FIND_FAULT),
    "save_found": _one(Deed.CORRECT),
    "break_it": _one(Deed.BREAK_STAND_IN, what="user"),
    "heal": _one(Deed.BREAK_STAND_IN),
    "identity": _one(Deed.ASK_IDENTITY),
    "record": _one(Deed.LOOK_UP, sobject="Account", record="001Dn00000Gi7HJIAZ"),
    "query": _one(Deed.RUN_SOQL, soql="SELECT Id FROM Account LIMIT 1"),
    "rows": _one(Deed.DOWNLOAD_ROWS, soql="SELECT Id FROM Account LIMIT 1"),
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """Of the admin."""

    view: Deed
    add: Deed | None = None
    change: Deed | None = None
    delete: Deed | None = None
    of_connection: bool = True
    """Whether its rows are hidden with their connection."""
    actions: dict[str, Deed] = field(default_factory=dict)
    own: dict[str, Place] = field(default_factory=dict)
    """Addresses beside Django's."""


_SEEN = Model(Deed.SEE)
MODELS = {
    "connectedapp": Model(
        Deed.SEE,
        Deed.MAKE,
        Deed.CHANGE,
        Deed.DELETE,
        actions={
            "check_now": Deed.CHECK,
            "renew_now": Deed.RENEW,
            "revoke_tokens": Deed.REVOKE,
            "pause": Deed.PAUSE,
            "resume": Deed.PAUSE,
            "accept_refreshed": Deed.ACCEPT_ORG,
            "add_tag": Deed.CHANGE,
            "remove_tag": Deed.CHANGE,
            "delete_selected": Deed.DELETE,
        },
        own={
            "check": Place(Deed.CHECK, of_connection=True, methods=("post",)),
            "import": Place(Deed.IMPORT),
            "export": Place(Deed.EXPORT, methods=("post",)),
        },
    ),
    "signingkey": Model(
        Deed.SEE_KEYS,
        Deed.CHANGE_KEYS,
        Deed.CHANGE_KEYS,
        Deed.CHANGE_KEYS,
        actions={"delete_selected": Deed.CHANGE_KEYS},
        own={"certificate": Place(Deed.SEE_KEYS, of_connection=True)},
    ),
    "apiclient": Model(
        *4 * [Deed.MANAGE_API_CLIENTS],
        own={name: Place(Deed.MANAGE_API_CLIENTS, of_connection=True) for name in ("replace", "revoke")},
    ),
    "accesstoken": Model(Deed.SEE, actions={"revoke_tokens": Deed.REVOKE}),
    "connectioncheck": _SEEN,
    "checkday": _SEEN,
    "connectionevent": _SEEN,
    "auditevent": Model(Deed.SEE_AUDIT),
    "alarm": Model(Deed.SEE_ALARMS),
    "alarmmessage": Model(Deed.MANAGE_ALARMS),
}
FOREIGN = {"auth", "django_celery_beat", "axes"}
"""Apps whose pages in the admin ask Django's own permissions, which none of ours gives."""

_OF_DJANGO = {
    "changelist": ("view", False),
    "add": ("add", False),
    "change": ("view", True),
    "history": ("view", True),
    "delete": ("delete", True),
}


def place_of_admin(name: str, method: str) -> Place | None:
    """None: nobody does that. `name` as in `sf_integration_connectedapp_change`."""
    _, model_name, what = name.removeprefix("sf_").split("_", 2)
    model = MODELS[model_name]
    if what in model.own:
        return model.own[what]
    kind, is_of_row = _OF_DJANGO[what]
    if what == "change" and method == "post":
        kind = "change"
    deed: Deed | None = getattr(model, kind)
    return deed and Place(deed, of_connection=is_of_row and model.of_connection)


def all_patterns(
    resolver: Any = None, before: str = "", space: str = ""
) -> Iterator[tuple[str, str, URLPattern]]:
    """Each as its whole route, its name and itself; names in the admin begin with `admin:`."""
    for each in (resolver or get_resolver()).url_patterns:
        route = f"{before}{each.pattern}"
        if isinstance(each, URLResolver):
            inner = "admin:" if each.namespace == admin.site.name else space
            yield from all_patterns(each, route, inner)
        else:
            yield route, f"{space}{each.name or _of_callback(each)}", each


def _of_callback(pattern: URLPattern) -> str:
    """Of one without a name: that of the function, for what is mounted by us."""
    name = getattr(pattern.callback, "__name__", "")
    return name if name in PUBLIC | BY_API_KEY | set(PAGES) else ""
