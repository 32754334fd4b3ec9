"""What other Django code can listen to. No receiver ever gets a token or a key.

`token_refreshed(connection, username, seconds)`, `token_refresh_failed(connection, username, error)`: after each sign-in.
`connection_health_changed(connection, previous, state)`: two ConnectionStates, sent once per change.
"""

from __future__ import annotations

from django.dispatch import Signal

token_refreshed = Signal()
token_refresh_failed = Signal()
connection_health_changed = Signal()
