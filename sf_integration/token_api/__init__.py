"""The HTTP token API, for programs that are not written in Django. Off unless SF_INTEGRATION["TOKEN_API"] is on.

`views` answer, `reading` takes requests apart, `answers` puts errors into one shape, `callers` knows who calls, `throttle` counts
how often, `taking` hands tokens out, `uses` tells the audit trail of it.
"""
