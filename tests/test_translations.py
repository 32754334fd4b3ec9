"""Every visible text can be translated, and is where a language is there."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.template.base import Lexer, TokenType
from django.test import Client
from django.utils import translation
from django.utils.translation import trans_real

from sf_integration.state import ConnectionState
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
TEMPLATES = sorted(
    str(found.relative_to(ROOT))
    for folder in ("templates", "sf_integration/templates")
    for found in (ROOT / folder).rglob("*.html")
)
ATTRIBUTES = {"title", "placeholder", "aria-label", "alt", "data-label", "data-progress"}
NAMES = {"API", "CSV", "JSON", "README", "RSA", "SHA-256", "SOQL", "URL", "ms", "sf-small"}
"""The same in every language; the last is a class."""
NOT_YET: set[str] = set()


def unmarked(source: str) -> list[str]:
    """The words of a template that a reader sees and no translator: of texts, and of attributes that are read out."""
    parser = _Words()
    parser.feed("".join(_without_tags(source)))
    parser.close()
    return parser.found


def _without_tags(source: str) -> Iterator[str]:
    in_block = False
    for token in Lexer(source).tokenize():
        if token.token_type is TokenType.BLOCK:
            name = token.contents.split()[0]
            in_block = name == "blocktranslate" or (in_block and name != "endblocktranslate")
        elif token.token_type is TokenType.TEXT and not in_block:
            yield token.contents


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside.append(tag)
        for name, value in attributes:
            if name in ATTRIBUTES:
                self._look(value or "")

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"code", "pre", "script", "style"} & set(self.inside):
            self._look(data)

    def _look(self, text: str) -> None:
        words = [word for word in re.findall(r"[^\W\d_][\w'-]+", text) if word not in NAMES]
        if words:
            self.found.append(" ".join(text.split()))


def test_templates_hold_no_text_that_cannot_be_translated() -> None:
    found = {path: unmarked((ROOT / path).read_text()) for path in TEMPLATES}
    assert {path: words for path, words in found.items() if words and path not in NOT_YET} == {}
    assert all(found[path] for path in NOT_YET), "what is done is taken off NOT_YET"


def test_the_search_finds_what_is_not_marked() -> None:
    source = """{% load i18n %}<h1 class="big" title="Said">{% translate "Marked" %} {{ name }}</h1>
        {% blocktranslate trimmed %}All <b>marked</b>{% endblocktranslate %}{# a remark #}
        <p>Plain{% if x %} and more{% endif %} <code>import x</code> 3 ms</p><input placeholder="Name">"""
    assert unmarked(source) == ["Said", "Plain and more", "Name"]


@pytest.fixture
def shouting(tmp_path: Path, settings: Any) -> Iterator[None]:
    """A language in which every word of the pages is in capitals."""
    settings.LOCALE_PATHS = [tmp_path]
    messages = {
        words: words.upper()
        for words in (*_marked(), "Signing keys", *(state.value for state in ConnectionState))
    }
    catalogue = tmp_path / "eo" / "LC_MESSAGES" / "django.mo"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_bytes(_compiled(messages))
    trans_real._translations.clear()
    with translation.override("eo"):
        settings.LANGUAGE_CODE = "eo"
        yield
    trans_real._translations.clear()


def _marked() -> set[str]:
    sources = [(ROOT / path).read_text() for path in TEMPLATES]
    return {words for source in sources for words in re.findall(r"{% translate \"([^\"]+)\" %}", source)}


def _compiled(messages: dict[str, str]) -> bytes:
    """As msgfmt writes it (GNU gettext manual, “The format of GNU MO files”)."""
    pairs = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **messages}.items())
    texts = [text.encode() for text in (*(key for key, _ in pairs), *(value for _, value in pairs))]
    at = 28 + 8 * len(texts)
    table, body = b"", b""
    for text in texts:
        table += struct.pack("<II", len(text), at + len(body))
        body += text + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return header + table + body


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("shouting")
def test_pages_speak_the_language_that_is_set(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    salesforce_org.connect("acme")
    for path in ("/connections/", "/connections/acme/"):
        html = admin_client.get(path).content.decode()
        assert '<html lang="eo">' in html
        assert ">NOT CHECKED YET<" in html
        assert "SIGNING KEYS" in html
        assert "SKIP TO CONTENT" in html
    assert admin_client.get("/connections/health.json").json()[0]["state"] == "Not checked yet"
