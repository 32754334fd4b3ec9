"""Forks with everything warm: no answer crosses over, nothing hangs."""

from __future__ import annotations

import pytest

from sf_integration.testing.django import ConnectableOrg, stand_in
from tests import processes

pytestmark = pytest.mark.django_db(transaction=True)

TWO_FORKS = """
import json, traceback
names = sys.argv[1:]
early = {name: get_client(name) for name in names}  # made before the fork, as a module-level client is
def ask(name):
    client = early[name]
    return [client.identity().organization_id, client.query("SELECT Id FROM Organization").records[0]["Id"]]
expected = {name: ask(name) for name in names}  # everything is warm now
# A thread that holds a lock at the moment of the fork does not exist in the child.
lock = tokens.current().lock(AccessToken.objects.get(connection__name=names[0]).pk)
lock.acquire()
django.db.connections.close_all()
children = []
for number in (0, 1):
    child = os.fork()
    if child == 0:
        wrong = 0
        try:
            for turn in range(200):
                name = names[(turn + number) % 2]
                wrong += ask(name) != expected[name]
        except BaseException:
            traceback.print_exc()
            os._exit(99)
        os._exit(min(wrong, 98))
    children.append(child)
lock.release()
mine = sum(ask(names[turn % 2]) != expected[names[turn % 2]] for turn in range(200))
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(json.dumps([mine, *codes]))
"""


def test_two_forks_of_a_warm_process_mix_up_nothing(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str]
) -> None:
    with stand_in() as other:
        salesforce_org.connect("one")
        other.connect("two")
        process = processes.start(
            TWO_FORKS,
            process_environment,
            f"x://{salesforce_org.url.split('://')[1]},{other.url.split('://')[1]}",
            "one",
            "two",
        )
        assert processes.finish(process, 120).strip() == "[0, 0, 0]"
        assert salesforce_org.token_requests == other.token_requests == 1
