"""A program of the site that wants tokens all the time: `get_token`, some times a second, a line of JSON for each."""

from __future__ import annotations

import json
import random
import sys
import threading
import time

import django

django.setup()

import jwt  # noqa: E402
from django.db import close_old_connections  # noqa: E402

from sf_integration import get_token  # noqa: E402

PAUSE_SECONDS = 0.1
THREADS = 3
ONE_LINE = threading.Lock()


def call(names: list[str]) -> None:
    while True:
        name = random.choice(names)
        began = time.time()
        told: dict[str, object] = {"at": began, "name": name, "error": ""}
        try:
            token = get_token(name)
            claims = jwt.decode(token.value, options={"verify_signature": False})
            told |= {"of": claims["sub"], "left": claims["exp"] - time.time()}
        except Exception as error:  # noqa: BLE001 - each is told
            told |= {"error": type(error).__name__, "said": str(error)}
        finally:
            close_old_connections()
        told["seconds"] = time.time() - began
        with ONE_LINE:
            print(json.dumps(told), flush=True)
        time.sleep(PAUSE_SECONDS)


for _ in range(THREADS):
    threading.Thread(target=call, args=(sys.argv[1:],), daemon=True).start()
while True:
    time.sleep(3600)
