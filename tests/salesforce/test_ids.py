from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_integration.salesforce import ids
from sf_integration.salesforce.errors import InvalidInput

KNOWN = {
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
ID15 = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", min_size=15, max_size=15)


@pytest.mark.parametrize(("id15", "suffix"), KNOWN.items())
def test_recorded_pairs(id15, suffix):
    assert ids.checksum(id15) == suffix
    assert ids.to_18(id15) == ids.to_18(id15 + suffix) == id15 + suffix


@given(ID15)
def test_both_forms_name_the_same_record(id15):
    id18 = ids.to_18(id15)
    assert len(id18) == 18
    assert ids.to_18(id18) == ids.to_18(f" {id18}\n") == id18


@given(ID15, st.integers(0, 14))
def test_a_letter_whose_case_was_changed_is_noticed(id15, place):
    id18 = ids.to_18(id15)
    swapped = id18[:place] + id18[place].swapcase() + id18[place + 1 :]
    if swapped != id18:
        with pytest.raises(InvalidInput, match="last three characters"):
            ids.to_18(swapped)


@given(st.text())
def test_any_text_is_an_id_or_refused_with_a_sentence(text):
    try:
        assert len(ids.to_18(text)) == 18
    except InvalidInput as exc:
        assert "is not a record id" in str(exc)  # noqa: PT017


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x" * 14,
        "x" * 16,
        "x" * 17,
        "x" * 19,
        "0015g00000AcCn/",
        "0015g00000AcCnÄ",
        "\N{ARABIC-INDIC DIGIT ONE}" * 15,
    ],
)
def test_other_texts_are_refused(bad):
    with pytest.raises(InvalidInput, match="is not a record id"):
        ids.to_18(bad)


@pytest.mark.parametrize("text", ["Acme", "A/S Nord", "Coffee 2024 GmbH", "Internationale", "a@b.example"])
def test_names_are_no_ids(text: str) -> None:
    assert ids.read(text) is None


def test_an_address_without_an_id_is_told() -> None:
    with pytest.raises(InvalidInput, match="no record id"):
        ids.read("https://acme.lightning.force.com/lightning/o/OpportunityLine/list")


@pytest.mark.parametrize(
    ("text", "sobject"),
    [
        ("001Dn00000Gi7HJ", ""),
        (" https://acme.my.salesforce.com/001Dn00000Gi7HJ ", ""),
        ("https://elsewhere.example/lightning/r/Account/001Dn00000Gi7HJIAZ/view?ws=%2Fr%2F500Dn00000Gi7HJ", "Account"),
        ("acme.lightning.force.com/lightning/r/OpportunityItem/001Dn00000Gi7HJ/view", "OpportunityItem"),
        ("/one/one.app#/sObject/001Dn00000Gi7HJIAZ/view", ""),
        ("https://acme.my.salesforce.com/apex/page?id=001Dn00000Gi7HJIAZ&mode=1", ""),
    ],
)  # fmt: skip
def test_record_is_read_from_an_id_or_an_address(text: str, sobject: str) -> None:
    assert ids.read(text) == ids.Pointer("001Dn00000Gi7HJIAZ", sobject)
