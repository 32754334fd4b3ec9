"""Sends one message through one Apprise channel; a program of its own, run by `sending`.

It reads JSON, {url, title, body, tone}, from standard input and says nothing at all. Its process ends with it: so does whatever
Apprise, its plugins and the HTTP libraries below them would log, raise or keep of a URL, which is a secret; and one that hangs can
be ended.
"""

from __future__ import annotations

import json
import sys

SENT, REFUSED, NO_CHANNEL, NOT_INSTALLED = 0, 3, 4, 5
"""What it ends with; anything else is a fault."""


def main() -> int:
    given = json.load(sys.stdin)
    try:
        import apprise  # an extra
    except ImportError:
        return NOT_INSTALLED
    channel = apprise.Apprise()
    if not channel.add(given["url"]):
        return NO_CHANNEL
    sent = channel.notify(
        given["body"], title=given["title"], notify_type=given["tone"], body_format=apprise.NotifyFormat.TEXT
    )
    return SENT if sent else REFUSED


if __name__ == "__main__":
    sys.exit(main())
