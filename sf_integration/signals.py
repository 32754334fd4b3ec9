"""What other Django code can listen to. No receiver ever gets a token or a key.

`token_refreshed(connection, username, seconds)`, `token_refresh_failed(connection, username, error)`: after each sign-in.
`certificate_ending(signing_key, days_left, stage)`: once for each of 60, 30, 14, 7, 1 and 0 days before the certificate of a
signing key in use ends; `signing_key.connections` and `.staged_connections` are those who use it. 0: it has ended.
`signing_key_promoted(connection, previous, signing_key)`: once when a connection left a signing key for its staged one.
`connection_health_changed(connection, previous, state)`: two ConnectionStates, sent once per change.
"""

from __future__ import annotations

from django.dispatch import Signal

token_refreshed = Signal()
token_refresh_failed = Signal()
connection_health_changed = Signal()
certificate_ending = Signal()
signing_key_promoted = Signal()
