"""The one room that opens connections.

Every read of an answer, status line and headers included, is held to one deadline for the whole call. Nothing follows redirects,
keeps cookies or reads `.netrc`; proxies of the environment are honoured. `pools` makes the calls, over connections of `deadline`;
`failures` tells what went wrong, `answer` what came, `record` what was asked; `masking` takes secrets out of what hosts say.
"""

from __future__ import annotations

from .addresses import is_web_address, require_same_origin, same_origin
from .answer import Answer
from .auth import BearerAuth, NoAuth
from .masking import as_told, excerpt, mask
from .pools import SMALL_ANSWER_MAX_BYTES, Http
from .record import Call, recorded

__all__ = [
    "SMALL_ANSWER_MAX_BYTES",
    "Answer",
    "BearerAuth",
    "Call",
    "Http",
    "NoAuth",
    "as_told",
    "excerpt",
    "is_web_address",
    "mask",
    "recorded",
    "require_same_origin",
    "same_origin",
]
