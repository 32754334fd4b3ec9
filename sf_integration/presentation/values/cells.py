"""One value, shown as what its field's type says it is. What a field holds is its owner's text: it is never markup."""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from django.core.exceptions import SuspiciousOperation
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import escape, format_html, strip_tags
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ...salesforce.describe import Field
from ...salesforce.http import is_web_address

_FOLDED_FROM = 300
_LONG_FROM = 80
_ADDRESS_LINES = (("street",), ("postalCode", "city"), ("state",), ("country",))
_MAIL = re.compile(r"[^\s@?&<>\"]+@[^\s@?&<>\"]+")
_PHONE = re.compile(r"[+\d][\d\s()./-]{2,}")
_END_OF_BLOCK = re.compile(r"(?i)<br\s*/?>|</(?:p|div|li|h[1-6]|tr)>")


@dataclass(frozen=True)
class Cell:
    kind: Literal["empty", "text", "long", "number", "time", "link", "record", "parts", "table"]
    text: str = ""
    note: str = ""
    """What stands quietly behind it: a currency, the API name of a picklist's value."""
    start: str = ""
    """Of a long text: what is seen before it is unfolded."""
    href: str = ""
    machine: str = ""
    """Of a time: as machines read it."""
    target: str = ""
    """What the record is called that a reference leads to."""
    parts: Sequence[tuple[str, Cell]] = field(default_factory=tuple)
    """Name and value of each part of a compound value or related record."""
    table: Any = None
    """Of a child query."""

    @property
    def is_leaf(self) -> bool:
        return self.kind not in ("parts", "table")

    @property
    def markup(self) -> SafeString:
        """All but parts and tables, which have templates: a page of rows has twenty thousand of these."""
        shown = _MARKUP[self.kind](self)
        if self.note and self.kind != "empty":
            return format_html('{} <span class="sf-quiet">{}</span>', shown, self.note)
        return shown


EMPTY = Cell("empty")


def cell(value: Any, described: Field | None = None, *, currency: str = "", target: str = "") -> Cell:
    """`currency`: the code of the record's, where the org has several. `target`: as Cell has it."""
    if value is None or value in ("", {}, []):
        return EMPTY
    show = _BY_TYPE.get(described.type) if described else None
    if described is None or show is None:
        return _plain(value)
    try:
        shown = show(value, described)
    except (TypeError, ValueError, ArithmeticError, AttributeError, SuspiciousOperation):  # not of that type
        return _plain(value)
    if described.type == "currency" and currency:
        return replace(shown, note=currency)
    return replace(shown, target=target) if target else shown


def number(value: Any, scale: int | None = None) -> str:
    """With thousands apart; all digits there are, unless `scale` says how many."""
    exact = Decimal(str(value))
    if not exact.is_finite():
        return str(value)
    return number_format(
        exact, scale if scale is not None else max(-int(exact.as_tuple().exponent), 0), force_grouping=True
    )


def text(value: str) -> Cell:
    if len(value) > _FOLDED_FROM:
        words = value[: _FOLDED_FROM // 2].split()
        return Cell("long", value, start=" ".join(words[:-1] or words))
    return Cell("long" if "\n" in value or len(value) > _LONG_FROM else "text", value)


def _plain(value: Any) -> Cell:
    """Without knowing its field: as the JSON has it."""
    match value:
        case bool():
            return _checkbox(value)
        case int() | float():
            return Cell("number", number(value))
        case Mapping():
            return _compound(value)
        case list() | tuple():
            return text(", ".join(map(str, value)))
    return text(str(value))


def _checkbox(value: Any, described: Field | None = None) -> Cell:
    return Cell("text", _("yes") if value else _("no"))


def _number(value: Any, described: Field) -> Cell:
    return Cell("number", number(value, described.scale))


def _whole_number(value: Any, described: Field) -> Cell:
    return Cell("number", number(value, 0))


def _percent(value: Any, described: Field) -> Cell:
    return Cell("number", f"{number(value, described.scale)}\N{NO-BREAK SPACE}%")


def _date(value: str, described: Field) -> Cell:
    return Cell("time", date_format(dt.date.fromisoformat(value), "j M Y"), machine=value)


def _moment(value: str, described: Field) -> Cell:
    local = timezone.localtime(dt.datetime.fromisoformat(value))
    return Cell("time", date_format(local, "j M Y, H:i:s T"), machine=local.isoformat())


def _time_of_day(value: str, described: Field) -> Cell:
    return Cell("text", value.removesuffix("Z").removesuffix(".000"))


def _picked(value: str, described: Field) -> Cell:
    label = dict(described.value_labels).get(value, value)
    return Cell("text", label, note=value if label != value else "")


def _several_picked(value: str, described: Field) -> Cell:
    labels = dict(described.value_labels)
    return text(" · ".join(labels.get(each, each) for each in value.split(";")))


def _link(value: str, described: Field) -> Cell:
    """http and https alone; as Salesforce does, a host without a scheme counts as a web address."""
    for address in (value, f"https://{value}"):
        if is_web_address(address) and "." in value:
            return Cell("link", value, href=address)
    return text(value)


def _mail(value: str, described: Field) -> Cell:
    return Cell("link", value, href=f"mailto:{value}") if _MAIL.fullmatch(value) else text(value)


def _phone(value: str, described: Field) -> Cell:
    if not _PHONE.fullmatch(value):
        return text(value)
    return Cell("link", value, href="tel:" + re.sub(r"[^+\d]", "", value))


def _reference(value: str, described: Field) -> Cell:
    return Cell("record", value)


def _long_text(value: str, described: Field) -> Cell:
    if not described.is_html:
        return text(value)
    bare = html.unescape(strip_tags(_END_OF_BLOCK.sub("\n", value)))
    return replace(text(bare.strip()), note=_("rich text, shown as text"))


def _file(value: Any, described: Field) -> Cell:
    return Cell("empty", note=_("a file, not shown"))


def _address(value: Mapping[str, Any], described: Field) -> Cell:
    lines = (" ".join(str(value[name]) for name in names if value.get(name)) for names in _ADDRESS_LINES)
    told = "\n".join(filter(None, lines))
    return Cell("long", told) if told else _place(value, described)


def _place(value: Mapping[str, Any], described: Field) -> Cell:
    latitude, longitude = value.get("latitude"), value.get("longitude")
    if latitude is None or longitude is None:
        return _compound(value)
    return Cell("text", f"{latitude:.5f}, {longitude:.5f}")


def _compound(value: Mapping[str, Any]) -> Cell:
    """Within a compound value what is empty only stands in the way."""
    parts = tuple((name, _plain(each)) for name, each in value.items() if each not in (None, ""))
    return Cell("parts", parts=parts) if parts else EMPTY


# ---- Markup ---------------------------------------------------------------------------------------------------------


def _empty_markup(shown: Cell) -> SafeString:
    if shown.note:
        return format_html('<span class="sf-empty">{}</span>', shown.note)
    return format_html(
        '<span class="sf-empty"><span aria-hidden="true">—</span><span class="sf-hidden">{}</span></span>',
        _("empty"),
    )


def _long_markup(shown: Cell) -> SafeString:
    if not shown.start:
        return format_html('<span class="sf-long">{}</span>', shown.text)
    return format_html(
        '<details class="sf-longer"><summary><span class="sf-longer-start">{} …</span> <span class="sf-quiet">{}</span>'
        '</summary><span class="sf-long">{}</span></details>',
        shown.start,
        _("%(count)s characters") % {"count": number(len(shown.text))},
        shown.text,
    )


def _link_markup(shown: Cell) -> SafeString:
    return format_html(
        '<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>', shown.href, shown.text
    )


def _record_markup(shown: Cell) -> SafeString:
    """A button of the form `follow`, which each of these pages has."""
    return format_html(
        '<button class="sf-link" form="follow" name="record" value="{0}">{1} <code>{0}</code></button>',
        shown.text,
        shown.target,
    )


def _time_markup(shown: Cell) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', shown.machine, shown.text)


_MARKUP: Mapping[str, Callable[[Cell], SafeString]] = {
    "empty": _empty_markup,
    "text": lambda shown: escape(shown.text),
    "number": lambda shown: escape(shown.text),
    "long": _long_markup,
    "link": _link_markup,
    "record": _record_markup,
    "time": _time_markup,
}
_BY_TYPE: Mapping[str, Callable[[Any, Field], Cell]] = {
    "boolean": _checkbox,
    "int": _whole_number,
    "long": _whole_number,
    "double": _number,
    "currency": _number,
    "percent": _percent,
    "date": _date,
    "datetime": _moment,
    "time": _time_of_day,
    "picklist": _picked,
    "combobox": _picked,
    "multipicklist": _several_picked,
    "url": _link,
    "email": _mail,
    "phone": _phone,
    "id": _reference,
    "reference": _reference,
    "textarea": _long_text,
    "base64": _file,
    "address": _address,
    "location": _place,
}
