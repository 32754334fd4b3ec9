from __future__ import annotations

import pytest

from sf_integration.testing import ids


@pytest.mark.parametrize(
    ("id15", "suffix"),
    [
        ("00D36000000arML", "EAY"), ("00536000000IigR", "AAS"), ("001Dn00000Gi7HJ", "IAZ"), ("003RO0000035WQg", "YAM"),
        ("000000000000000", "AAA"), ("00D5g000004FaKe", "EAK"), ("0015g00000AcCnT", "AAV"), ("ABCDEABCDEABCDE", "555"),
    ],
)  # fmt: skip
def test_checksum_is_that_of_recorded_ids(id15: str, suffix: str):
    assert ids.to_18(id15) == id15 + suffix


def test_well_formed_ids_are_told_from_others():
    assert ids.is_well_formed("001Dn00000Gi7HJ")
    assert ids.is_well_formed("001Dn00000Gi7HJIAZ")
    for wrong in (
        "",
        "001Dn00000Gi7H",
        "001Dn00000Gi7HJI",
        "001Dn00000Gi7HJIAA",
        "001Dn00000Gi7H-",
        "001Dn00000Gi7Hé",
    ):
        assert not ids.is_well_formed(wrong)


def test_numbered_and_random_ids_are_well_formed_and_distinct():
    made = [ids.numbered("003", number) for number in range(5_000)] + [
        ids.random_id("00D") for _ in range(20)
    ]

    assert len(set(made)) == len(made)
    assert all(len(one) == 18 and ids.is_well_formed(one) for one in made)
