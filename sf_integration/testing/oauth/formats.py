"""JSON, XML or a form: an answer of the OAuth endpoints comes as `format` says or, without that, as `Accept` does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from ..messages import Answer, Incoming

FORM = "application/x-www-form-urlencoded;charset=UTF-8"
XML = "application/xml;charset=UTF-8"
_KNOWN = re.compile(r"json|xml|urlencoded|\*/\*")


def wanted(request: Incoming, *besides_json: Literal["xml", "urlencoded"]) -> str:
    """What `format` says, whether known or not; else what is preferred by `Accept` and offered, or "json"."""
    preferred = _KNOWN.search(request.headers.get("Accept", ""))
    by_accept = preferred[0] if preferred and preferred[0] in besides_json else "json"
    return request.form().get("format", by_accept)


def as_form(fields: Mapping[str, str], status: int = 200) -> Answer:
    return Answer(status, urlencode(fields).encode(), FORM)


def as_xml(root: str, body: Mapping[str, Any], *, attributes: str = "") -> Answer:
    content = "".join(_elements(body))
    return Answer(
        200, f'<?xml version="1.0" encoding="UTF-8"?><{root}{attributes}>{content}</{root}>'.encode(), XML
    )


def _elements(body: Mapping[str, Any]) -> Iterator[str]:
    for name, value in body.items():
        match value:
            case None:
                yield f'<{name} xsi:nil="true"/>'
            case dict():
                yield f"<{name}>{''.join(_elements(value))}</{name}>"
            case _:
                text = json.dumps(value) if isinstance(value, bool) else str(value)
                yield f"<{name}>{escape(text)}</{name}>"
