from __future__ import annotations

import contextlib
import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_integration.salesforce.errors import InvalidInput
from sf_integration.services.connection_file import (
    COLUMNS,
    FILE_COLUMNS,
    LISTS,
    MOST_ROWS,
    Row,
    decode,
    list_of,
    read,
    write_csv,
    write_json,
)

EXPORTED = [column for column in COLUMNS if column not in FILE_COLUMNS]


def cells(text: str, name: str = "orgs.csv") -> list[dict[str, str]]:
    return [dict(row.cells) for row in read(text, name=name)]


# ---- CSV as spreadsheets write it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "name,label\nacme,Acme\n",
        "name;label\r\nacme;Acme\r\n",
        "name\tlabel\nacme\tAcme",
        "sep=;\r\nname;label\r\nacme;Acme\r\n",
        '"name";"label"\r\n"acme";"Acme"\r\n',
        " Name , LABEL \nacme,Acme\n",
        "name,label,,\nacme,Acme,,\n,,,\n",
    ],
    ids=["commas", "German Excel", "tabs", "sep line", "quoted head", "capitals", "empty columns"],
)
def test_file_of_whatever_spreadsheet_is_read(text: str) -> None:
    assert cells(text) == [{"name": "acme", "label": "Acme"}]


def test_byte_order_mark_is_taken_off() -> None:
    assert cells(decode(b"\xef\xbb\xbfname;label\nacme;Acme", name="orgs.csv")) == [
        {"name": "acme", "label": "Acme"}
    ]


def test_rows_count_as_in_the_spreadsheet() -> None:
    text = 'name,notes\nacme,"first line\nsecond; line, ""quoted"""\n\nglobex,\n'
    found = read(text, name="orgs.csv")
    assert [(row.number, row.name) for row in found] == [(2, "acme"), (4, "globex")]
    assert found[0].cells["notes"] == 'first line\nsecond; line, "quoted"'
    assert "notes" not in found[1].cells


def test_short_line_leaves_the_rest_as_it_is_and_long_one_is_refused() -> None:
    short, long, longer = read(
        "name,label\nacme\nglobex,Globex,surplus\nhooli,Hooli,two,more\n", name="orgs.csv"
    )
    assert (dict(short.cells), short.problems) == ({"name": "acme"}, {})
    assert "1 cell more than the first row names columns" in long.problems[""]
    assert "2 cells more than" in longer.problems[""]


def test_head_with_a_slip_is_refused_and_the_right_name_suggested() -> None:
    head, row = read("name,consumer_kee\nacme,3MVG9\n", name="orgs.csv")
    assert head.number == 1
    assert head.problems["consumer_kee"] == "There is no such column. Did you mean “consumer_key”?"
    assert "consumer_kee" in row.problems


def test_row_without_a_name_and_a_name_that_comes_twice_are_refused() -> None:
    first, nameless, second = read("name,label\nacme,A\n,B\nacme,C\n", name="orgs.csv")
    assert not first.problems
    assert "is missing" in nameless.problems["name"]
    assert "stands in row 2 already" in second.problems["name"]


# ---- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda found: found, lambda found: {"connections": found}])
def test_json_is_read_as_list_or_under_connections(wrap: object) -> None:
    entry = {
        "name": "acme",
        "session_minutes": 60,
        "enabled": False,
        "tags": ["a, b", "c"],
        "notes": None,
        "label": "",
    }
    (row,) = read(json.dumps(wrap([entry])), name="orgs.json")  # type: ignore[operator]
    assert row.number == 1
    assert {**row.cells, "tags": list_of(row.cells["tags"])} == {
        "name": "acme",
        "session_minutes": "60",
        "enabled": "no",
        "tags": ["a, b", "c"],
    }


def test_entries_that_hold_what_no_column_takes_are_refused_one_by_one() -> None:
    text = '[1, {"name": "a", "tags": {"b": 1}}, {"name": "c", "label": "\\ud800"}, {"name": "d", "colour": "red"}]'
    assert [list(row.problems) for row in read(text, name="orgs.json")] == [
        [""],
        ["tags"],
        ["label"],
        ["colour"],
    ]


def test_an_entry_about_something_else_is_refused_in_one_sentence() -> None:
    entry = {"name": "acme"} | {f"field_{number}": "x" for number in range(11)}
    (row,) = read(json.dumps([entry]), name="orgs.json")
    assert list(row.problems) == [""]
    assert "11 columns that no connection has, as “field_0” and “field_1”" in row.problems[""]


# ---- what can't be read at all --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("name\n", "no connection in it"),
        ("label,username\nx,y\n", "must name the columns"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n", "must name the columns"),
        ("name,label,label\nacme,A,B\n", "column “label” twice"),
        ('name,label\nacme,"A', "quotation mark"),
        ('[{"name": "acme"', "no valid JSON, line 1"),
        ('{"name": "acme"}', "must be a list of connections"),
        ("[" * 100_000, "no valid JSON"),
        ("name\n" + "acme\n" * (MOST_ROWS + 1), "at most 5,000 go at once"),
        ("name,notes\nacme," + "x" * 200_000, "can't be read as CSV"),
        ('name,notes\nacme,"-----BEGIN RSA PRIVATE KEY-----\nAAAA"', "private key in it"),
        ('[{"name": "acme", "key": "-----BEGIN PRIVATE KEY-----\\nAAAA"}]', "private key in it"),
        ("Id,Name," + ",".join(f"Field_{n}__c" for n in range(10)), "11 columns that no connection has"),
    ],
    ids=lambda value: value[:20],
)
def test_file_that_is_none_is_refused_with_a_sentence(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read(text, name="orgs.csv")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("name\nmüller".encode("cp1252"), "CSV UTF-8"),
        ("name\nacme".encode("utf-16"), "CSV UTF-8"),
        (b"name\nac\0me", "zero bytes"),
        (b"x" * 1_000_001, "larger than 1 MB"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        decode(data, name="orgs.csv", most=1_000_000)


# ---- there and back -------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30) | st.text(
    "'=+-@\t\r\n;,\" a\uff1d\uff0b\uff0d\uff20", max_size=8
)


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(EXPORTED, TEXTS)), min_size=1, max_size=4))
def test_what_is_written_is_read_again_letter_by_letter(rows: list[dict[str, str]]) -> None:
    for place, row in enumerate(rows):
        row["name"] = f"acme-{place}"
    wanted = [{column: cell for column, cell in row.items() if cell.strip()} for row in rows]
    assert cells(decode(write_csv(rows).encode(), name="orgs.csv")) == wanted
    assert cells(write_json(rows), "orgs.json") == wanted


@given(TEXTS)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    written = write_csv([{"name": "acme", "notes": text}])
    (_, line) = csv.reader(io.StringIO(written, newline=""))
    assert not line[EXPORTED.index("notes")].startswith(
        ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
    )


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(str.strip), max_size=4
    )
)
def test_lists_come_back_item_by_item(items: list[str]) -> None:
    items = [item for item in items if item]
    for write, name in ((write_csv, "orgs.csv"), (write_json, "orgs.json")):
        (row,) = read(write([{"name": "acme", **dict.fromkeys(LISTS, items)}]), name=name)
        for column in LISTS:
            assert list_of(row.cells.get(column, "")) == items


def test_sample_of_the_docstring_is_what_it_says() -> None:
    from sf_integration.services import connection_file

    sample = (connection_file.__doc__ or "").partition("\n\n")[2]
    assert isinstance(read(sample, name="orgs.csv")[0], Row)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for name in ("orgs.csv", "orgs.json"):
        with contextlib.suppress(InvalidInput):
            assert read(text, name=name)
