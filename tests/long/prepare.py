"""In a process of the site: its rows. Reads what to make as JSON, prints what callers need."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402
from django_celery_beat.models import IntervalSchedule, PeriodicTask  # noqa: E402

from sf_integration import access, keystore  # noqa: E402
from sf_integration.models import ConnectedApp  # noqa: E402
from sf_integration.services import api_clients  # noqa: E402


def main() -> None:
    org = json.load(sys.stdin)
    key = keystore.take_in(
        Path(org["key_file"]).read_bytes(),
        name="shared",
        certificate=Path(org["certificate_file"]).read_bytes(),
    )
    connections = []
    for name, username in org["users"].items():
        connection = ConnectedApp(
            name=name,
            login_url=org["url"],
            consumer_key=org["consumer_key"],
            username=username,
            signing_key=key,
        )
        connection.full_clean()
        connection.save(force_insert=True)
        connections.append(connection)
    issued = api_clients.make("shop", connections=connections, actor=access.SHELL)
    often, _ = IntervalSchedule.objects.get_or_create(every=org["beat_seconds"], period="seconds")
    PeriodicTask.objects.filter(task="sf_integration.refresh_due_tokens").update(
        interval=often, expire_seconds=org["beat_seconds"]
    )
    browser = Client()
    browser.force_login(User.objects.create_superuser("admin", password="admin"))
    print(json.dumps({"api_key": issued.api_key, "session": browser.cookies["sessionid"].value}))


main()
