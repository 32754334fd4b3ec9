from __future__ import annotations

import time

import pytest

from sf_integration.salesforce import columns


@pytest.mark.parametrize(
    ("soql", "paths"),
    [
        ("SELECT Id, Owner.Name FROM Account", ["Id", "Owner.Name"]),
        ("select count(id), COUNT(Name) n, MAX( Amount ) from x", ["expr0", "n", "expr1"]),
        ("SELECT A.Name, COUNT(Id) FROM x GROUP BY A.Name", ["Name", "expr0"]),
        (
            "SELECT Id, (SELECT Id FROM Cases WHERE a IN ('x, FROM y')) FROM x WHERE b = ' FROM z'",
            ["Id", "Cases"],
        ),
        ("SELECT toLabel(Status), FORMAT(convertCurrency(Amount)) FROM x", ["Status", "Amount"]),
        ("SELECT COUNT() FROM x", []),
        ("SELECT FIELDS(ALL) FROM x LIMIT 200", []),
        ("SELECT Id", []),
        ("nonsense ((", []),
    ],
)
def test_columns_of_a_query_are_read_from_it(soql: str, paths: list[str]) -> None:
    assert [column.path for column in columns.read(soql)] == paths


@pytest.mark.parametrize("hostile", ["'" + "\\'" * 50_000, "(" * 50_000 + ")" * 50_000, "(SELECT " * 12_000])
def test_no_query_keeps_the_reader_busy(hostile: str) -> None:
    began = time.process_time()
    columns.read(f"SELECT {hostile} FROM x")
    columns.source(f"SELECT {hostile} FROM x")
    columns.sources(f"SELECT {hostile} FROM x")
    assert time.process_time() - began < 1


def test_sources_are_those_outside_of_texts() -> None:
    soql = (
        "SELECT Id, (SELECT Id FROM Cases) FROM Account WHERE Name = 'it\\'s from Smith' AND x = 'from Jones"
    )
    assert columns.sources(soql) == ["Account", "Cases"]
    assert columns.source(soql) == "Account"
