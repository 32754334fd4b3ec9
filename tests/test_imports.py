"""What importing may and may not do, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PURE = [
    "keys",
    "assertion",
    "oauth",
    "rest",
    "signin",
    "soql",
    "columns",
    "describe",
    "ids",
    "http",
    "answers",
    "errors",
    "diagnosis",
    "secret",
    "setup_guide",
    "setup_kit",
    "my_domain",
    "origin",
    "stages",
    "trace",
    "young_apps",
    "problem",
]


def run(code: str) -> str:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "SF_", "SECRET_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_protocol_package_leaves_django_out():
    modules = ", ".join(f"sf_integration.salesforce.{name}" for name in PURE)
    found = run(
        f"import sys, {modules}; print(sorted(m for m in sys.modules if m.split('.')[0] in ('django', 'celery')))"
    )
    assert found == "[]"


def test_crypto_leaves_django_out():
    assert run("import sys, sf_integration.crypto; print('django' in sys.modules)") == "False"


def test_the_list_above_is_complete():
    import pkgutil

    import sf_integration.salesforce

    assert {module.name for module in pkgutil.iter_modules(sf_integration.salesforce.__path__)} == set(PURE)


@pytest.mark.parametrize(
    "statement",
    ["import sf_integration", "from sf_integration import *", "from sf_integration import get_client"],
)
def test_the_package_is_imported_before_django_is_set_up(statement):
    """Settings and models of a site import it at their top, long before the app registry is ready."""
    assert run(f"{statement}\nprint('ok')") == "ok"


def test_importing_the_package_opens_no_connection_and_starts_no_thread():
    code = (
        "import socket, threading\n"
        "socket.socket.connect = lambda *a: 1/0\n"
        "import sf_integration, sf_integration.salesforce.signin\n"
        "print(threading.active_count())"
    )
    assert run(code) == "1"


def test_the_whole_flow_works_without_django(tmp_path):
    """The README's promise: exchange and Client by hand."""
    code = """
import sys, time
from sf_integration.testing import StandIn
from sf_integration.salesforce import assertion, keys, oauth
from sf_integration.salesforce.rest import Client
with StandIn() as server:
    key = keys.read_private_key(server.org.app.private_key_pem.encode())
    claims = assertion.claims(consumer_key=server.org.app.consumer_key, username=server.org.user.username,
                              audience=server.url, now=time.time())
    with Client(oauth.exchange(assertion.sign(claims, key), token_url=oauth.token_url(server.url))) as sf:
        print(sf.record("Account", "001Dn00000Gi7HJIAZ", fields=["Name"]).sobject, "django" in sys.modules)
"""
    assert run(code) == "Account False"
