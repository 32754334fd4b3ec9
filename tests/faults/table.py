"""What can go wrong, and which test makes it happen: data for docs/faults.md, its test, and whoever judges a soak.

Plain data: imports nothing of the app, so that any process can read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SIGN_IN = "tests/faults/test_sign_in.py::"
REST = "tests/faults/test_rest.py::"
STORAGE = "tests/faults/test_storage.py::"
MESSAGES = "tests/faults/test_messages.py::"
IN_BETWEEN = "tests/faults/test_in_between.py::"
CLOCKS = "tests/faults/test_clocks.py::"
PROCESS = "tests/faults/test_processes.py::"
CHAOS = "tests/long/chaos.py::"
HOUR = "tests/faults/test_dead_hour.py::"
WALK = "tests/test_diagnosis_walk.py::test_it_is_told_alike_everywhere"

SERVED = "A token in store is served on, until 15 min past its estimate; row, history and connection stay."
KEPT = "Token in store, row, history and connection stay."
LATER = "By itself: 5 s doubling to 5 min without a token; with one, in 5 to 10 min and before it ends."
REPAIRED = "By itself after the repair: 30 s doubling to 4 min, then 5 min doubling to 6 h; at once by “Check now” or an edit."
NEXT_CALL = "The next call."


@dataclass(frozen=True)
class Fault:
    id: str
    title: str
    made: str
    """How the test makes it happen."""
    seen: str
    """State, class, code and where else it shows."""
    kept: str
    """What becomes of tokens and data."""
    back: str
    """How it ends: by itself, when, or by whom."""
    tests: tuple[str, ...]
    """Node ids, without parameters or with the id of one."""
    codes: tuple[str, ...] = ()
    """`code` of the errors that callers may meet; an asterisk at the end stands for any ending."""
    classes: tuple[str, ...] = ()
    """Names of exceptions that callers may meet and that have no code."""
    long: bool = False
    """Shown by a run of minutes (`make chaos`), beside or instead of the quick tests."""


@dataclass(frozen=True)
class Group:
    title: str
    note: str
    faults: tuple[Fault, ...]


def no_answer(
    key: str,
    title: str,
    made: str,
    code: str,
    *more: str,
    back: str = LATER,
    test: str = "",
    codes: tuple[str, ...] = (),
) -> Fault:
    """A login host that gives no usable answer: retryable, whatever it is."""
    seen = f"Failing, where no token is left; `RetryableError` with code `{code}`; cause and remedy on page and in `check --json`."
    return Fault(
        key,
        title,
        made,
        seen,
        SERVED,
        back,
        (f"{SIGN_IN}{test or f'test_host_in_trouble[{key}]'}", *more),
        (code, *codes),
    )


def refused(
    key: str,
    title: str,
    code: str,
    who: str,
    walk: str = "",
    *,
    kind: str = "ActionNeeded",
    back: str = REPAIRED,
) -> Fault:
    """A refusal of the token endpoint."""
    return Fault(
        key,
        title,
        "The org answers so at the token endpoint.",
        f"Failing; `{kind}` with code `{code}`; who must act: {who}.",
        KEPT,
        back,
        (f"{SIGN_IN}test_refused_sign_in[{key}]", *([f"{WALK}[{walk}]"] if walk else [])),
        (code,),
    )


def unavailable(key: str, title: str, code: str, walk: str = "", *, back: str = LATER) -> Fault:
    return refused(key, title, code, "nobody, or Salesforce", walk, kind="RetryableError", back=back)


def of_rest(key: str, title: str, code: str, kind: str, seen: str = "", back: str = NEXT_CALL) -> Fault:
    return Fault(
        key,
        title,
        "The org answers so to a query.",
        f"The caller gets `{kind}` with code `{code}`. {seen}".strip(),
        "No sign-in, the token stays in store and in use.",
        back,
        (f"{REST}test_rest_trouble[{key}]",),
        (code,),
    )


ORG_ADMIN, SITE, US = "the org's admin", "an administrator of this site", "whoever runs this site"


def process(
    key: str,
    title: str,
    seen: str,
    back: str,
    *more: str,
    quick: bool = True,
) -> Fault:
    """Something that happens to a process of a whole site, while everybody goes on."""
    short = ("test_a_site_lives_through_the_loss_of_each_part",) if quick else ()
    return Fault(
        key,
        title,
        "To real processes of a whole site, with callers, pages and buttons going on.",
        seen,
        "All rows, history and audit trail; no token of another, no claim longer than 12 s, no sign-in beyond those explained.",
        back,
        (*(f"{PROCESS}{name}" for name in (*more, *short)), f"{CHAOS}test_the_site_lives_through_it"),
        long=True,
    )


NO_WAY = Group(
    "No way to the login host",
    "The host is reached through a front that the tests break; the org behind it stays sound.",
    (
        no_answer(
            "no such name",
            "The host's name does not exist",
            "A name in `.invalid`.",
            "dns_failure",
            f"{WALK}[no DNS]",
        ),
        no_answer(
            "name server failing",
            "The name server fails",
            "The resolver says “try again” (EAI_AGAIN).",
            "dns_failure",
        ),
        no_answer("refused", "Nothing listens", "The port is closed.", "connection_refused"),
        no_answer(
            "no handshake",
            "Packets are dropped",
            "A port whose queue is full: connecting takes for ever (time-out shortened).",
            "timeout",
        ),
        no_answer(
            "certificate expired", "TLS: certificate expired", "A certificate of yesterday.", "tls_failure"
        ),
        no_answer(
            "certificate of another host",
            "TLS: certificate of another host",
            "A certificate for another name.",
            "tls_failure",
            f"{WALK}[TLS name mismatch]",
        ),
        no_answer(
            "unknown authority",
            "TLS: nobody vouches for the certificate",
            "A certificate of an authority that is not trusted.",
            "tls_failure",
        ),
        no_answer(
            "handshake cut",
            "TLS: the handshake is cut off",
            "The host closes after the first bytes.",
            "cut_off",
        ),
        no_answer("no TLS", "TLS: the host speaks none", "Plain HTTP at a https address.", "tls_failure"),
        no_answer(
            "proxy",
            "The proxy can't be used",
            "HTTPS_PROXY names a closed port.",
            "proxy_failure",
            test="test_proxy_that_can_not_be_used",
        ),
        no_answer(
            "no way",
            "No way to the network",
            "An address that the machine has no route to.",
            "connection_failed",
        ),
        no_answer(
            "idle connection",
            "A connection that the host gave up while it lay idle",
            "The host closes it at the second request.",
            "connection_stale",
            test="test_host_that_gave_up_an_idle_connection",
            back="At once: it is sent once more, over a new one.",
        ),
    ),
)

NO_ANSWER = Group(
    "The login host gives no usable answer",
    "As above: what the front sends instead of the org's answer.",
    (
        no_answer("silent", "Too slow", "Nothing comes within the call's time (shortened).", "timeout"),
        no_answer("drip", "Dripping", "A byte at a time, past the call's time (shortened).", "timeout"),
        no_answer(
            "cut in the body", "Cut in the body", "Fewer bytes than announced.", "cut_off", f"{WALK}[cut off]"
        ),
        no_answer("closed", "Closed without an answer", "The connection ends after the request.", "cut_off"),
        no_answer("endless body", "Endless body", "Bytes without end: read to 1 MB.", "too_large"),
        no_answer(
            "gzip bomb",
            "Compressed bomb",
            "200 MB of zeros as 200 kB of gzip: unpacked to 1 MB.",
            "too_large",
            "tests/salesforce/test_http.py::test_a_gzip_bomb_is_not_unpacked",
        ),
        no_answer("deflate bomb", "Compressed bomb, deflate", "As above.", "too_large"),
        no_answer("bomb in a bomb", "Compressed bomb, many times over", "gzip five times over.", "too_large"),
        no_answer(
            "coding that is a lie",
            "A coding that is a lie",
            "“Content-Encoding: gzip” before plain JSON.",
            "cut_off",
        ),
        no_answer(
            "coding nobody knows",
            "A coding that nobody asked for",
            "“Content-Encoding: br” before bytes.",
            "not_json",
        ),
        no_answer(
            "1xx flood", "Flood of 1xx answers", "“100 Continue” without end (time-out shortened).", "timeout"
        ),
        no_answer("header bomb", "Headers without end", "Header lines without end.", "cut_off"),
        no_answer(
            "redirect 302",
            "Redirect to a foreign host",
            "302 with a Location of another server, which sees no request.",
            "redirected",
            f"{WALK}[redirect to a foreign host]",
            back=REPAIRED,
            test="test_host_that_redirects[302]",
        ),
        no_answer(
            "redirect 307",
            "Redirect that would repeat the assertion",
            "307, likewise.",
            "redirected",
            back=REPAIRED,
            test="test_host_that_redirects[307]",
        ),
        no_answer(
            "redirect 308",
            "The same for good",
            "308, likewise.",
            "redirected",
            back=REPAIRED,
            test="test_host_that_redirects[308]",
        ),
        no_answer("maintenance", "Maintenance page", "503 with HTML.", "http_503", f"{WALK}[HTML 503]"),
        no_answer("bad gateway", "Edge in trouble", "502 with HTML.", "http_502", f"{WALK}[HTML 502]"),
        no_answer("gateway time-out", "Edge waited in vain", "504 with HTML.", "http_504"),
        no_answer(
            "server error",
            "Fault inside Salesforce",
            "500 with HTML that sends back what it got.",
            "http_500",
            f"{WALK}[page that sends all back]",
            codes=("http_5*",),
        ),
        no_answer(
            "too many requests", "Too many requests", "429 without a body of Salesforce's.", "http_429"
        ),
        no_answer(
            "login page",
            "HTML page with status 200",
            "A sign-in page, as a captive portal shows it.",
            "not_json",
            f"{WALK}[page]",
        ),
        no_answer("empty", "Empty body", "200 without a body.", "not_json", f"{WALK}[empty body]"),
        no_answer(
            "half",
            "Half a JSON",
            "The first half of an answer, well framed.",
            "not_json",
            f"{WALK}[half a token]",
        ),
        no_answer("nan", "NaN for a value", "`NaN`, which is no JSON.", "not_json"),
        no_answer("deep nesting", "Nesting without end", "100,000 brackets.", "not_json"),
        no_answer("no UTF-8", "Bytes that are no UTF-8", "FF FE in a value.", "not_json"),
        Fault(
            "byte order mark",
            "Byte order mark",
            "A sound answer behind a BOM.",
            "Nothing: it is read.",
            "The token is stored.",
            "Nothing to mend.",
            (f"{SIGN_IN}test_byte_order_mark_does_no_harm",),
        ),
        no_answer(
            "page not there",
            "The sandbox was deleted",
            "404 with HTML, as gone hosts answer.",
            "http_404",
            codes=("http_4*",),
        ),
        no_answer(
            "wrong types",
            "Values of other types",
            "Numbers and lists where texts belong.",
            "malformed_answer",
        ),
        no_answer("list", "JSON of another form", "A list.", "malformed_answer", f"{WALK}[other JSON]"),
        no_answer(
            "error with 200", "An error with status 200", '`{"error": …}` and status 200.', "malformed_answer"
        ),
        no_answer(
            "key given twice",
            "A key given twice",
            "Two access tokens, the last of them empty.",
            "malformed_answer",
        ),
    ),
)

REFUSED = Group(
    "The org refuses the sign-in",
    "Protocol notes, token endpoint: every class of refusal.",
    (
        refused(
            "not approved",
            "User hasn't approved the app, or there is no such user",
            "invalid_grant",
            ORG_ADMIN,
            "not approved",
        ),
        refused(
            "not attached", "User isn't attached to the app", "invalid_app_access", ORG_ADMIN, "not attached"
        ),
        refused(
            "refresh scope missing",
            "The app lacks the scope refresh_token",
            "invalid_request",
            ORG_ADMIN,
            "refresh scope missing",
        ),
        refused(
            "other certificate",
            "The app has another certificate",
            "invalid_grant",
            ORG_ADMIN,
            "other certificate",
        ),
        refused("audience", "The audience is not accepted", "invalid_grant", US, "audience"),
        refused("expired", "The assertion counts as expired", "invalid_grant", US, "expired"),
        refused(
            "unknown consumer key",
            "The consumer key is unknown",
            "invalid_client_id",
            ORG_ADMIN,
            "unknown consumer key",
        ),
        refused(
            "client credentials", "Client credentials are refused", "invalid_client", US, "client credentials"
        ),
        refused(
            "app not found",
            "The External Client App is not installed",
            "app_not_found",
            US,
            "external app not installed",
        ),
        refused(
            "inactive user", "The user is deactivated or frozen", "invalid_grant", ORG_ADMIN, "inactive user"
        ),
        refused(
            "inactive user, other code",
            "The same by its documented code",
            "inactive_user",
            ORG_ADMIN,
            "inactive user, other code",
        ),
        refused(
            "inactive org",
            "The org is expired, suspended or closed",
            "invalid_grant",
            "Salesforce",
            "inactive org",
        ),
        refused(
            "inactive org, other code",
            "The same by its documented code",
            "inactive_org",
            "Salesforce",
            "inactive org, other code",
        ),
        refused(
            "ip restricted",
            "Our address, or this hour, is not let in",
            "invalid_grant",
            ORG_ADMIN,
            "ip restricted",
        ),
        refused(
            "authentication failure",
            "Refused without a reason",
            "invalid_grant",
            ORG_ADMIN,
            "authentication failure",
        ),
        refused(
            "activation secret",
            "User or org has to be verified first",
            "invalid_grant",
            ORG_ADMIN,
            "activation secret",
        ),
        refused("grant type", "The form was lost on the way", "unsupported_grant_type", US, "grant type"),
        refused(
            "malformed request", "The request counts as malformed", "invalid_request", US, "malformed request"
        ),
        refused(
            "invalid scope", "A scope that the app lacks", "invalid_scope", ORG_ADMIN, "scope not the app's"
        ),
        refused("unheard of", "A code that nobody has heard of", "brand_new_error", ORG_ADMIN, "unheard of"),
        unavailable("unknown error", "“Retry your request”", "unknown_error", "unknown error"),
        unavailable("server_error", "Trouble, by OAuth's code", "server_error", "server error"),
        unavailable(
            "temporarily_unavailable",
            "Busy, by OAuth's code",
            "temporarily_unavailable",
            "temporarily unavailable",
        ),
        unavailable(
            "login rate",
            "More than 3,600 sign-ins of the user",
            "invalid_grant",
            "login rate",
            back="By itself: in 15, 30, then 60 min, for all connections of the user.",
        ),
        unavailable(
            "login rate, other code",
            "The same by its documented code",
            "rate_limit_exceeded",
            "login rate, other code",
            back="As above.",
        ),
    ),
)

OTHER_ORG = Group(
    "An answer of somebody else",
    "Sound answers that must not be used.",
    (
        Fault(
            "foreign instance",
            "The instance URL is foreign",
            "The token's answer names a host that is not listed.",
            "Failing; `NotAllowedHere`, code `not_allowed_here`.",
            "The token is not stored, and sent nowhere; the one in store stays.",
            REPAIRED,
            (f"{SIGN_IN}test_refused_sign_in[foreign instance]",),
            ("not_allowed_here",),
        ),
        Fault(
            "foreign identity",
            "The identity URL is foreign",
            "The token's answer names another host's identity URL.",
            "Healthy: the path is asked at the instance.",
            "The foreign host gets no request, so no bearer.",
            "Nothing to mend.",
            (f"{REST}test_a_foreign_identity_url_gets_no_bearer",),
        ),
        Fault(
            "another org",
            "A valid answer of another org",
            "The org behind the address is another than the pinned one.",
            "Failing; `WrongOrg`, code `wrong_org`, or `sandbox_refreshed`.",
            "The token is not stored, its session is ended there; the one in store stays.",
            "An administrator accepts the org, or the address leads back.",
            (f"{SIGN_IN}test_an_answer_of_another_org", f"{WALK}[org swapped]"),
            ("wrong_org", "sandbox_refreshed"),
        ),
        Fault(
            "org unknown",
            "An org that won't tell which it is",
            "A token that tells no org, and an org that refuses to say.",
            "Failing; `WrongOrg`, code `org_unknown`.",
            "The token is not stored; its session is ended.",
            REPAIRED,
            ("tests/tokens/test_orgs.py::test_an_org_that_nothing_tells_is_refused_where_one_is_expected",),
            ("org_unknown",),
        ),
    ),
)

RESTED = Group(
    "The REST API",
    "A query with a token that is alive.",
    (
        Fault(
            "session ended",
            "The org ended the session",
            "The session is deleted in the org.",
            "Nothing: one sign-in, one replay.",
            "The dead token is dropped, the new one stored; the event is told.",
            "At once.",
            (f"{REST}test_an_ended_session_costs_one_sign_in",),
            ("INVALID_SESSION_ID",),
        ),
        of_rest(
            "scope missing",
            "The token may not use the REST API",
            "INVALID_SESSION_ID",
            "ApiError",
            "A look-alike: no sign-in.",
            REPAIRED,
        ),
        of_rest("malformed header", "The Authorization header is refused", "INVALID_AUTH_HEADER", "ApiError"),
        of_rest(
            "api limit",
            "The API calls of the day are used up",
            "REQUEST_LIMIT_EXCEEDED",
            "ApiUnavailable",
            "Page: Failing after a check, who must act.",
            "By itself, as old calls leave the 24 hours.",
        ),
        of_rest(
            "concurrent limit", "Too many long calls at once", "REQUEST_LIMIT_EXCEEDED", "ApiUnavailable"
        ),
        of_rest("api disabled", "The org has no API", "API_DISABLED_FOR_ORG", "ApiError", back=REPAIRED),
        of_rest(
            "api disabled for the user",
            "The user may not use the API",
            "API_CURRENTLY_DISABLED",
            "ApiError",
            back=REPAIRED,
        ),
        of_rest(
            "insufficient access",
            "Rights are missing",
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "ApiError",
            back=REPAIRED,
        ),
        of_rest("malformed query", "SOQL that can't be read", "MALFORMED_QUERY", "ApiError"),
        of_rest("invalid field", "A field that is not there", "INVALID_FIELD", "ApiError"),
        of_rest("invalid type", "An object that is not there", "INVALID_TYPE", "ApiError"),
        of_rest("not found", "No such thing", "NOT_FOUND", "NotFound"),
        of_rest("deleted", "The record is deleted", "ENTITY_IS_DELETED", "NotFound"),
        of_rest("locked row", "The record is locked by somebody", "UNABLE_TO_LOCK_ROW", "ApiUnavailable"),
        of_rest("query timeout", "The query takes too long", "QUERY_TIMEOUT", "ApiUnavailable"),
        of_rest("cursor lost", "The rest of a query is gone", "INVALID_QUERY_LOCATOR", "QueryCursorLost"),
        of_rest("server unavailable", "Salesforce is too busy", "SERVER_UNAVAILABLE", "ApiUnavailable"),
        of_rest(
            "read-only mode",
            "Read-only mode during maintenance",
            "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
            "ApiUnavailable",
        ),
        of_rest("unknown exception", "A fault inside Salesforce", "UNKNOWN_EXCEPTION", "ApiUnavailable"),
        of_rest("version retired", "The API version is retired", "http_410", "ApiError"),
        of_rest("method not allowed", "A wrong verb", "METHOD_NOT_ALLOWED", "ApiError"),
        of_rest("maintenance page", "Maintenance page", "http_503", "TransportError"),
        of_rest("login page instead of rows", "HTML page with status 200", "not_json", "TransportError"),
        of_rest("rows cut off", "Cut in the body", "cut_off", "TransportError"),
        of_rest("rows of another form", "JSON of another form", "malformed_answer", "TransportError"),
        Fault(
            "version not served",
            "The org serves no version that we know, or not the one asked for",
            "The org's list of versions is cut.",
            "Failing, step API version; `TransportError` with code `no_common_api_version`, or `api_version_not_served`.",
            KEPT,
            REPAIRED,
            (
                "tests/test_health.py::test_api_version_that_is_not_served_fails",
                "tests/faults/test_rest.py::test_an_org_without_a_version_that_we_know",
            ),
            ("no_common_api_version", "api_version_not_served"),
        ),
        Fault(
            "bearer and redirects",
            "Redirects of the REST API",
            "301, 302, 303, 307 and 308 to another server.",
            "The caller gets `TransportError` with code `redirected`.",
            "The other server sees no request, so no bearer.",
            NEXT_CALL,
            (f"{REST}test_no_redirect_takes_the_bearer_along",),
            ("redirected",),
        ),
        Fault(
            "write in doubt",
            "A write without an answer",
            "The connection is cut after a POST.",
            "`OutcomeUnknown`: it may have been carried out.",
            "Nothing is sent twice.",
            "Who called looks, or uses upsert.",
            ("tests/salesforce/test_rest_saving.py::test_a_record_may_be_there_though_the_answer_was_lost",),
            ("cut_off", "timeout"),
        ),
        Fault(
            "identity fails",
            "The identity URL fails",
            "503, HTML, a cut and a refusal at the identity URL, at a check.",
            "Failing by the check, with the step identity and the code.",
            "No sign-in more; callers go on.",
            "The next check, by beat after some minutes.",
            (f"{REST}test_a_check_survives_trouble_at_the_identity_url",),
        ),
    ),
)

OUR_STORE = Group(
    "Database and disk",
    "Run in child processes, which get less than the test itself.",
    (
        Fault(
            "database down",
            "The database does not answer",
            "The database is closed to the process.",
            "Tokens in memory are served; pages: 500 in our words; `/readyz` 503; token API 503 `database_unavailable`.",
            "Nothing is written, nothing lost.",
            "By itself: the next look opens a new connection.",
            (
                "tests/tokens/test_source.py::test_the_hot_path_outlives_a_database_that_is_down",
                "tests/site/test_pages.py::test_a_database_that_is_down_still_gives_a_page",
                "tests/test_probes.py::test_not_ready_without_the_database",
            ),
            ("database_unavailable",),
            ("OperationalError", "InterfaceError"),
        ),
        Fault(
            "disk full: database",
            "Disk full, SQLite writes",
            "RLIMIT_FSIZE of a child is 0: no file can be written.",
            "`OperationalError` of the database to who needs a new token; who has one is served.",
            "The file stays sound (integrity check), rows unchanged.",
            "By itself once there is room.",
            (f"{STORAGE}test_a_full_disk_loses_nothing",),
            (),
            ("OperationalError",),
        ),
        Fault(
            "disk full: message",
            "Disk full, message of the file broker",
            "RLIMIT_FSIZE of a child.",
            "The button says that the message could not be sent, as for a broker that is down.",
            "No half message for a worker, no litter.",
            "By itself once there is room.",
            (f"{STORAGE}test_a_full_disk_loses_nothing",),
            (),
            ("OSError", "OperationalError"),
        ),
        Fault(
            "disk full: log",
            "Disk full, log file",
            "The log goes to a file that may not grow.",
            "Nothing: calls go on.",
            "Lines are lost, tokens are not.",
            "By itself once there is room.",
            (f"{STORAGE}test_a_full_disk_loses_nothing",),
        ),
        Fault(
            "disk full: export",
            "Disk full, output of a command",
            "Standard output is a full device.",
            "One sentence, exit status 1.",
            "Nothing is changed by printing.",
            "Run it again.",
            ("tests/test_command_line_rows.py::test_full_disk_is_one_sentence",),
        ),
        Fault(
            "read-only database",
            "Read-only database",
            "SQLite opened with mode=ro; PostgreSQL with default_transaction_read_only.",
            "Stored tokens are served; a new one: `OperationalError` or `InternalError` of the database; list and detail page are read; “Check now”: 500 in our words; token API 503 `database_unavailable`.",
            "No sign-in is made whose token could not be stored.",
            "By itself once it can be written.",
            (
                f"{STORAGE}test_a_database_that_can_only_be_read_serves_what_is_stored",
                f"{IN_BETWEEN}test_the_token_api_asks_to_come_again_when_the_database_fails",
            ),
            (),
            ("OperationalError", "InternalError"),
        ),
    ),
)

IN_BETWEEN_GROUP = Group(
    "Changes in the middle",
    "Somebody changes what a call, a check or a sweep is just using.",
    (
        Fault(
            "encryption key missing",
            "Encryption key missing",
            "The process has another list of keys.",
            "Encryption key missing; `EncryptionKeyMissing`, with the key's id.",
            "Nothing is called, nothing overwritten.",
            "By itself with the key back in the list and a restart.",
            (
                f"{IN_BETWEEN}test_an_encryption_key_that_goes_and_comes_back",
                "tests/tokens/test_source.py::test_missing_encryption_key_is_named_and_nothing_is_called",
            ),
            ("encryption_key_missing", "secret_damaged", "signer_missing"),
        ),
        Fault(
            "encryption key changed in the middle",
            "Encryption key changed in the middle of a renewal",
            "Another host has the new key while this one renews.",
            "Nothing; at most one sign-in more.",
            "Tokens of both hosts are right.",
            "At once.",
            (
                "tests/test_reencrypt.py::test_a_host_without_the_new_key_signs_in_anew_for_a_token_sealed_with_it",
                "tests/test_reencrypt.py::test_a_renewal_under_way_stores_its_token",
            ),
        ),
        Fault(
            "signing key replaced in the middle",
            "Signing key replaced in the middle",
            "Another signing key is saved while the sign-in is under way.",
            "Nothing, or the refusal of the new key.",
            "The token of the old settings is not served.",
            "At once.",
            (f"{IN_BETWEEN}test_a_signing_key_that_is_replaced_in_the_middle",),
        ),
        Fault(
            "connection deleted in the middle",
            "Connection deleted in the middle of a sign-in",
            "The row is deleted while the org waits.",
            "`UnknownConnection`, or the token of the moment.",
            "Others go on; no row comes back.",
            "Nothing to mend.",
            (
                f"{IN_BETWEEN}test_a_connection_that_is_deleted_in_the_middle",
                "tests/test_tasks.py::test_a_connection_deleted_while_it_is_checked_does_not_stop_the_others",
            ),
            ("unknown_connection",),
        ),
        Fault(
            "paused in the middle",
            "Connection paused",
            "The switch is turned off.",
            "Paused; `ConnectionPaused` within 5 s.",
            KEPT,
            "By itself with the switch.",
            ("tests/tokens/test_source.py::test_pause_and_deletion_take_effect_at_the_next_look",),
            ("paused",),
        ),
        Fault(
            "username unlisted",
            "An extra username is taken off the list",
            "The list is edited.",
            "`UsernameNotAllowed` within 5 s.",
            KEPT,
            "By itself with the list.",
            (
                "tests/tokens/test_usernames.py::test_taken_off_the_list_it_is_refused_within_five_seconds_in_other_processes",
            ),
            ("username_not_allowed",),
        ),
        Fault(
            "claim held",
            "Another process is signing in",
            "Its claim is in force.",
            "`RetryableError` after 15 s, code `sign_in_under_way`.",
            "No second sign-in.",
            "The claim lapses after 12 s.",
            ("tests/tokens/test_concurrency.py::test_who_waits_too_long_is_told_to_come_again",),
            ("sign_in_under_way",),
        ),
        Fault(
            "fuse",
            "Too many sign-ins of our own",
            "600 sign-ins within the hour.",
            "`RetryableError`, code `fuse_blown`.",
            "Salesforce's limit is never met.",
            "By itself within the hour.",
            ("tests/tokens/test_source.py::test_fuse_stops_before_salesforce_would",),
            ("fuse_blown",),
        ),
    ),
)

CLOCK = Group(
    "Clocks",
    "Turned by the test; the org has a clock of its own.",
    (
        Fault(
            "clock jumps ahead",
            "Our clock jumps an hour ahead",
            "The host's clock is set an hour ahead while a token lives.",
            "Nothing; Needs attention at the next check (`clock_skew`).",
            "Tokens are renewed early: one sign-in each.",
            "By itself.",
            (f"{CLOCKS}test_a_jump_of_our_clock[ahead]",),
            ("clock_skew",),
        ),
        Fault(
            "clock jumps back",
            "Our clock jumps an hour back",
            "The host's clock is set an hour back while a token lives.",
            "Nothing, or one refusal “expired” where a new token was needed.",
            "No token is served past its end: memory goes by the monotonic clock.",
            "By itself: the answer's date tells the skew.",
            (
                f"{CLOCKS}test_a_jump_of_our_clock[back]",
                "tests/tokens/test_clock.py::test_a_clock_an_hour_behind_costs_one_refusal",
            ),
        ),
        Fault(
            "gate in the future",
            "The clock was ahead when a sign-in failed",
            "A failure is stored with a clock an hour ahead, then the clock is put right.",
            "Nothing: a wait that no schedule tells counts as none, for callers and for “Check now”.",
            KEPT,
            "At once by the next caller; by beat at the stored time.",
            (f"{CLOCKS}test_a_gate_that_was_shut_by_a_wrong_clock_opens",),
        ),
        Fault(
            "clock of the org",
            "The org's clock is off",
            "The org's clock is five minutes ahead or behind.",
            "Needs attention, code `clock_skew`.",
            "Assertions are told by the org's clock.",
            "By itself.",
            (f"{WALK}[clock five minutes ahead]", f"{WALK}[clock five minutes behind]"),
            ("clock_skew",),
        ),
    ),
)

THE_CALLER = Group(
    "Callers who may not or can't mean it",
    "Refused before any call to Salesforce.",
    (
        Fault(
            "no API key",
            "An API key is missing, unknown, expired or revoked",
            "A call of the token API with such a key.",
            "401 with the reason.",
            "No sign-in, no use counted.",
            "An administrator of this site.",
            ("tests/test_refusals.py::test_api_key_is_refused_at_every_door",),
            ("api_key_*",),
        ),
        Fault(
            "too many calls",
            "A program calls the token API too often",
            "More calls within the minute than it may.",
            "429 with Retry-After.",
            "Others go on.",
            "By itself within the minute.",
            ("tests/token_api/test_views.py::test_a_client_that_calls_too_often_is_told_when_to_come_back",),
            ("too_many_calls",),
        ),
        Fault(
            "no such connection",
            "A name that is not there",
            "A caller names it.",
            "`UnknownConnection` with the nearest name.",
            "Nothing is made.",
            "Who called.",
            ("tests/tokens/test_source.py::test_unknown_name_offers_the_nearest",),
            ("unknown_connection",),
        ),
        Fault(
            "refused data",
            "Values that Salesforce's rules refuse",
            "Writing a record.",
            "`ApiError` with code, fields and remedy.",
            "Nothing is written, nothing repeated.",
            "Who called.",
            ("tests/salesforce/test_rest_saving.py::test_a_refusal_names_code_fields_and_remedy",),
            (
                "REQUIRED_FIELD_MISSING",
                "MALFORMED_ID",
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                "FIELD_CUSTOM_VALIDATION_EXCEPTION",
                "DUPLICATE*",
                "STRING_TOO_LONG",
                "JSON_PARSER_ERROR",
            ),
        ),
    ),
)

MESSAGING = Group(
    "Messages to workers",
    "A worker of its own over each broker.",
    (
        Fault(
            "poison messages",
            "Messages that can't be meant",
            "No JSON, wrong arguments, unknown tasks, nesting, ids that are none, before a sound one.",
            "Log lines; the worker goes on.",
            "The sound message behind them is worked off.",
            "At once; what can't be read is dropped or set aside.",
            (
                f"{MESSAGES}test_a_worker_outlives_messages_that_can_not_be_meant",
                f"{MESSAGES}test_a_worker_on_rabbitmq_outlives_them_too",
            ),
        ),
        Fault(
            "doubled and late messages",
            "Doubled and late messages",
            "The same batch twice; a batch long after its time.",
            "Nothing.",
            "One sign-in for each row.",
            "Nothing to mend.",
            (
                "tests/tokens/test_sweep.py::test_doubled_messages_do_nothing",
                "tests/test_tasks.py::test_doubled_check_messages_check_once",
                f"{MESSAGES}test_a_late_batch_renews_only_what_is_due",
            ),
        ),
        Fault(
            "two beats",
            "Two beats",
            "Two schedulers at once.",
            "Nothing.",
            "One sign-in for each row.",
            "Nothing to mend.",
            ("tests/tokens/test_soak.py::test_each_row_has_one_login_at_a_time_and_nobody_an_old_token",),
        ),
        Fault(
            "broker down",
            "The broker does not answer",
            "No broker at its address.",
            "A button says so within 2 s; callers renew in line; the page says that the scheduler is silent.",
            "Nothing is lost: beat hands out anew each minute.",
            "By itself.",
            (
                "tests/site/test_settings.py::test_dead_broker_holds_up_a_caller_for_two_seconds_at_most",
                "tests/tokens/test_alone.py::test_without_broker_and_beat_callers_and_pages_go_on",
            ),
        ),
    ),
)

PROCESSES = Group(
    "Processes",
    "Killed: SIGKILL to it and all its children, and started anew a second later, as systemd does. Frozen: SIGSTOP for 20 s. Away: "
    "stopped, and started after 15 s. Nothing else is restarted.",
    (
        process(
            "database-killed",
            "The database is killed, or away",
            "Tokens in memory are served. Pages: our 500 page; the HTTP token API and `/readyz`: 503 with a sentence; all at once.",
            "At the first request or task after its return.",
            quick=False,
        ),
        process(
            "database-frozen",
            "The database server freezes: it takes connections and never answers",
            "As when it is killed, but only after some seconds each, while it is looked whether the server lives.",
            "At the first request or task after its return.",
        ),
        process(
            "broker-gone",
            "The message broker is killed, frozen or away",
            "Callers and pages: nothing. Buttons for many connections: within 3 s, that nothing was done and who must start what.",
            "Workers and beat connect again by themselves; what was due is handed out anew at the next beat.",
        ),
        process(
            "worker-gone",
            "A worker is killed half-way through a sweep, freezes, or is away",
            "Nothing: the others work on, and callers renew what they need.",
            "Its claims lapse after 12 s; the next beat hands its rows out anew, whatever becomes of its message.",
            "test_a_sweep_killed_half_way_is_taken_over_when_its_claims_lapse",
        ),
        process(
            "beat-gone",
            "Beat is killed, freezes, or is away",
            "After 3 min pages, metrics and `/readyz` say that the scheduler is silent. Callers renew what they need.",
            "With the next beat.",
        ),
        process(
            "web-gone",
            "A web host is killed, freezes, or is away",
            "What was under way there is cut; the balancer goes on with the other host once the connection is refused or the probe fails.",
            "At the next good probe. People stay signed in.",
        ),
    ),
)


MANY = Group(
    "Trouble of many",
    "An hour on a clock that the test turns.",
    (
        Fault(
            "dead hour",
            "The login host of 1,000 connections is dead for an hour",
            "It is in maintenance for 60 min; beat each minute, callers in between.",
            "Retryable error, where no token is left.",
            "At most 20 token requests for each connection; every one works again within 10 min.",
            "By itself.",
            (
                f"{HOUR}test_an_hour_without_the_login_host",
                "tests/long/dead_hour.py::test_an_hour_without_the_login_host_of_a_thousand",
            ),
            long=True,
        ),
    ),
)

GROUPS: tuple[Group, ...] = (
    NO_WAY,
    NO_ANSWER,
    REFUSED,
    OTHER_ORG,
    RESTED,
    OUR_STORE,
    IN_BETWEEN_GROUP,
    CLOCK,
    THE_CALLER,
    MESSAGING,
    PROCESSES,
    MANY,
)


def all_faults() -> Iterator[Fault]:
    for group in GROUPS:
        yield from group.faults


def foreseen(met: str | BaseException | type[BaseException]) -> Fault | None:
    """The fault that an error belongs to, by its code, else by the name of its class; None for what nobody foresaw."""
    if isinstance(met, str):
        return _by_code(met) or _by_class(met)
    kind = met if isinstance(met, type) else type(met)
    code = getattr(met, "code", "")
    if code:
        return _by_code(str(code))
    return next((fault for each in kind.__mro__ if (fault := _by_class(each.__name__))), None)


def _by_code(code: str) -> Fault | None:
    return next((fault for fault in all_faults() if any(_fits(code, known) for known in fault.codes)), None)


def _by_class(name: str) -> Fault | None:
    return next((fault for fault in all_faults() if name in fault.classes), None)


def _fits(code: str, known: str) -> bool:
    return code.startswith(known[:-1]) if known.endswith("*") else code == known
