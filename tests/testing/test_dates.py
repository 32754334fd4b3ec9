from __future__ import annotations

from datetime import date

import pytest

from sf_integration.testing.soql.dates import literal_range

A_WEDNESDAY = date(2026, 3, 18)


@pytest.mark.parametrize(
    ("literal", "first", "end"),
    [
        ("TODAY", "2026-03-18", "2026-03-19"),
        ("yesterday", "2026-03-17", "2026-03-18"),
        ("TOMORROW", "2026-03-19", "2026-03-20"),
        ("THIS_WEEK", "2026-03-16", "2026-03-23"),
        ("LAST_WEEK", "2026-03-09", "2026-03-16"),
        ("NEXT_MONTH", "2026-04-01", "2026-05-01"),
        ("LAST_QUARTER", "2025-10-01", "2026-01-01"),
        ("THIS_YEAR", "2026-01-01", "2027-01-01"),
        ("LAST_N_DAYS:3", "2026-03-15", "2026-03-19"),
        ("LAST_90_DAYS", "2025-12-18", "2026-03-19"),
        ("NEXT_N_DAYS:2", "2026-03-19", "2026-03-21"),
        ("LAST_N_MONTHS:2", "2026-01-01", "2026-03-01"),
        ("NEXT_N_WEEKS:1", "2026-03-23", "2026-03-30"),
        ("N_DAYS_AGO:7", "2026-03-11", "2026-03-12"),
        ("N_YEARS_AGO:1", "2025-01-01", "2026-01-01"),
    ],
)
def test_literal_means_these_days(literal: str, first: str, end: str):
    assert literal_range(literal, A_WEDNESDAY) == (date.fromisoformat(first), date.fromisoformat(end))


@pytest.mark.parametrize(
    "word", ["SOMEDAY", "LAST_N_DAYS", "LAST_N_DAYS:x", "THIS_DECADE", "LAST_N_YEARS:99999"]
)
def test_other_words_mean_nothing(word: str):
    assert literal_range(word, A_WEDNESDAY) is None
