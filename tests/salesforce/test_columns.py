from __future__ import annotations

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
