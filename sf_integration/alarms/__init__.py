"""Who is told when something is amiss, how loudly, and when it is over.

`matters` derives what is amiss from stored facts; `rounds` compares that with the open alarms and writes messages down (`contacts`: to
whom; `texts`: what they say; `before`: what changed just before); `sending` brings them on their way (`delivery`: one of them;
`channel`: by Apprise, in a process of its own); `watch` tells of a silent scheduler; `trial` sends a test; `seeing` says who may see
which.
"""

from __future__ import annotations

import datetime as dt

from . import rounds, sending

__all__ = ["tell"]


def tell(now: dt.datetime | None = None) -> sending.Sent:
    """What the task does every minute: a round, then what is due is sent."""
    rounds.run(now)
    return sending.send_due(now)
