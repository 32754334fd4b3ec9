"""Signing keys changed without a gap: staged here, uploaded by each org's admin when it suits them, then in force by itself.

`acts` are what a person does, `trying` asks the orgs, `progress` tells where each connection stands, `letters` what its org's
admin has to know, `retiring` erases keys that nothing needs any more. What happens by itself is in `tokens.promotion`.
"""

from __future__ import annotations

from .acts import Started, cancel, promote, start, undo
from .letters import Letter, letter
from .progress import Stage, Stand, board, stand
from .retiring import retire_unused
from .trying import Round, try_all, try_staged

__all__ = [
    "Letter",
    "Round",
    "Stage",
    "Stand",
    "Started",
    "board",
    "cancel",
    "letter",
    "promote",
    "retire_unused",
    "stand",
    "start",
    "try_all",
    "try_staged",
    "undo",
]
