"""The types as a stranger's code meets them: one run of mypy over a module that uses what the package root and salesforce.rest export."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]

# After `# reveals:` stands the type, after `# refused:` mypy's code for the mistake.
USER_CODE = """
import datetime as dt

import requests

from sf_integration import (
    ActionNeeded, ApiError, ApiUnavailable, OutcomeUnknown, RetryableError, SalesforceAuth, aget_client, aget_token,
    get_client, get_token,
)
from sf_integration.salesforce.rest import Part, SaveResult


def read(name: str) -> list[str]:
    with get_client(name, timeout_seconds=5) as sf:
        reveal_type(sf)  # reveals: Client
        reveal_type(sf.with_timeout(2.5))  # reveals: Client
        page = sf.query("SELECT Id, Name FROM Account WHERE Name LIKE {} LIMIT {}", "Acme%", 5)
        reveal_type(page.total_size)  # reveals: int
        reveal_type(page.records[0])  # reveals: Record
        names = [str(row["Name"]) for row in page]
        for row in sf.query_all("SELECT Id FROM Account", include_deleted=True):
            reveal_type(row)  # reveals: Record
            reveal_type(row.sobject)  # reveals: str
        reveal_type(sf.record("Account", "001Dn00000Gi7HJIAZ", fields=["Name"]))  # reveals: Record
        reveal_type(sf.identity().username)  # reveals: str
        reveal_type(sf.api_usage)  # reveals: ApiUsage | None
        reveal_type(sf.request("GET", "/services/apexrest/stock", params={"sku": "7"}))  # reveals: Response
        sf.query(5)  # refused: arg-type
        sf.record("Account")  # refused: call-arg
        sf.qeury("SELECT Id FROM Account")  # refused: attr-defined
        sf.api_usage.used  # refused: union-attr
        return names


def write() -> SaveResult:
    sf = get_client()
    reveal_type(sf.create("Contact", {"LastName": "Doe", "Birthdate": dt.date(1990, 1, 2)}))  # reveals: str
    sf.update("Contact", "0035g00000cOnTaAAK", {"Email": None})
    made = sf.upsert("Account", "ERP_Number__c", 4711, {"Name": "Acme"})
    reveal_type(made.id)  # reveals: str
    reveal_type(made.created)  # reveals: bool
    sf.delete("Account", made.id)
    results = sf.create_many("Contact", ({"LastName": name} for name in ("Doe", "Roe")))
    reveal_type(results)  # reveals: list[SaveResult]
    reveal_type(results[0].errors[0].remedy)  # reveals: str
    sf.upsert_many("Account", "ERP_Number__c", [{"ERP_Number__c": "7", "Name": "Acme"}], all_or_none=True)
    sf.delete_many([result.id for result in results])
    account = Part.create("Account", {"Name": "Acme"}, reference="account")
    parts = sf.composite([account, Part.create("Contact", {"AccountId": account.ref("id")})])
    reveal_type(parts["account"].id)  # reveals: str
    reveal_type(parts.error)  # reveals: ApiError | None
    sf.create("Contact", ["LastName"])  # refused: arg-type
    made.created = False  # refused: misc
    print(sf.update("Contact", made.id, {}))  # refused: func-returns-value
    return results[0]


def sign() -> None:
    token = get_token("acme", username="ops@acme.example")
    reveal_type(token.value)  # reveals: str
    reveal_type(token.expected_expiry)  # reveals: datetime
    requests.get(token.instance_url, auth=SalesforceAuth("acme"), timeout=5)
    get_token(username=5)  # refused: arg-type


async def view() -> str:
    reveal_type(await aget_token("acme"))  # reveals: Token
    aget_token("acme").value  # refused: attr-defined
    sf = await aget_client("acme")
    reveal_type(await sf.query("SELECT Id FROM Account"))  # reveals: QueryResult
    reveal_type(await sf.create("Contact", {"LastName": "Doe"}))  # reveals: str
    async for row in sf.query_all("SELECT Id FROM Account"):
        reveal_type(row)  # reveals: Record
    await sf.create("Contact")  # refused: call-arg
    sf = await aget_client("acme")
    reveal_type(await sf.query("SELECT Id FROM Account LIMIT {}", 5))  # reveals: QueryResult
    reveal_type(await sf.create("Contact", {"LastName": "Doe"}))  # reveals: str
    reveal_type(sf.with_timeout(2.5))  # reveals: AsyncClient
    reveal_type(await sf.api_version)  # reveals: str
    async for row in sf.query_all("SELECT Id FROM Account", include_deleted=True):
        reveal_type(row)  # reveals: Record
    await sf.record("Account")  # refused: call-arg
    sf.query("SELECT Id FROM Account").records  # refused: attr-defined
    return (await aget_token()).instance_url


def errors() -> float:
    try:
        write()
    except OutcomeUnknown as error:
        reveal_type(error.status_code)  # reveals: int | None
    except ApiUnavailable as error:
        reveal_type(error.retry_after)  # reveals: float
        reveal_type(error.error_code)  # reveals: str
    except ApiError as error:
        reveal_type(error.fields)  # reveals: tuple[str, ...]
        print(error.cause, error.remedy, error.who)
        error.retry_after  # refused: attr-defined
    except ActionNeeded as error:
        print(error.cause, error.remedy, error.who)
    except RetryableError as error:
        return error.retry_after
    return 0
"""
_REMARK = re.compile(r"# (reveals|refused): (.+)$")
_TOLD = re.compile(
    r'^user_code\.py:(\d+): (?:note: Revealed type is "(?P<reveals>.+)"|error: .*\[(?P<refused>[\w-]+)\])$'
)


def check(code: str, folder: Path, caches: Path) -> set[tuple[int, str, str]]:
    """Line, kind and word of what mypy says of it."""
    (folder / "user_code.py").write_text(code)
    options = ["--strict", "--follow-imports=silent", "--config-file=", f"--cache-dir={caches}"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "user_code.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout, run.stderr
    told = filter(None, map(_TOLD.match, run.stdout.splitlines()))
    return {
        (int(line[1]), kind, _short(word)) for line in told for kind, word in line.groupdict().items() if word
    }


def _short(name: str) -> str:
    """Without modules: `builtins.list[sf_integration.….SaveResult]` to `list[SaveResult]`."""
    return re.sub(r"[\w.]+\.(?=\w)", "", name)


def test_user_code_has_the_types_it_expects(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    expected = {
        (number, found[1], found[2])
        for number, line in enumerate(USER_CODE.splitlines(), 1)
        if (found := _REMARK.search(line))
    }
    # Kept between runs: without what mypy knows already, a run takes several times as long.
    caches = pytestconfig.cache.mkdir("mypy") if pytestconfig.cache else tmp_path
    assert check(USER_CODE, tmp_path, caches) == expected
