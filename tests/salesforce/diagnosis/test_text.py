from __future__ import annotations

import json
import time
from collections.abc import Callable
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_integration.salesforce import diagnosis
from sf_integration.salesforce.diagnosis import CATALOGUE, explain, explain_text, first_words

from .rows import ALL, LOGIN_HISTORY, NO_ANSWER, OTHER_FLOWS, REST, TOKEN_ENDPOINT, Row

TOKEN = "00D5g000004FaKe!AREAQPr0TFakeFakeFake_FakeFake.FakeFakeFake7Fake"
ASSERTION = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIzTVZHOUZha2UifQ.c2lnbmF0dXJlX29mX2FuX2Fzc2VydGlvbg"


def codes(text: str) -> list[str]:
    return [finding.entry.code for finding in explain_text(text)]


def first(text: str) -> diagnosis.Diagnosis:
    found = explain_text(text)
    assert found, text
    return found[0].entry


# ---- every documented error, in the forms in which people meet it --------------------------------------------------


@pytest.mark.parametrize(
    "pasted",
    [
        '{{"error":"{0}","error_description":"{1}"}}',
        '{{\n  "error" : "{0}",\n  "error_description" : "{1}"\n}}',
        "simple_salesforce.exceptions.SalesforceAuthenticationFailed: {0}: {1}",
        "ERROR  sf org login jwt: {1} ({0})",
        "08:28 WARN answer={{'error': '{0}', 'error_description': \"{1}\"}} status=400",
        r'time=08:28 msg="{{\"error\":\"{0}\",\"error_description\":\"{1}\"}}"',
        "{0}: {1}",
    ],
)
def test_refusal_of_a_sign_in_is_found_in_what_was_pasted(pasted: str) -> None:
    for row in (*TOKEN_ENDPOINT, *OTHER_FLOWS):
        assert first(pasted.format(row.code, row.description)) is explain(row.code, row.description), row


@pytest.mark.parametrize(
    "shape",
    [
        lambda row: json.dumps([{"message": row.description, "errorCode": row.code}]),
        lambda row: json.dumps([{"errorCode": row.code, "message": row.description, "fields": []}], indent=2),
        lambda row: json.dumps({"body": json.dumps([{"message": row.description, "errorCode": row.code}])}),
        lambda row: f"Response content: [{{'message': {row.description!r}, 'errorCode': '{row.code}'}}]",
    ],
    ids=["json", "indented", "nested", "python"],
)
def test_refusal_of_the_rest_api_is_found_in_what_was_pasted(shape: Callable[[Row], str]) -> None:
    for row in REST:
        assert first(shape(row)) is explain(row.code, row.description), row


def test_row_of_the_login_history_is_found() -> None:
    """By its status in a row of the exported list, and by its code in an event log."""
    for row in LOGIN_HISTORY:
        listed = first(
            f'"integration@acme.example","2026-11-22 08:28:01","203.0.113.7","Remote Access 2.0","{row.description}"'
        )
        same_cause = listed.cause.split(":")[0] == explain(row.code).cause.split(":")[0]
        assert same_cause or listed.code in ("invalid_grant", "inactive_user"), row
        assert first(f'"Login","20261122082801.000","{row.code}","OAuth"') is explain(row.code), row


@pytest.mark.parametrize(
    "wording",
    [row.description for row in TOKEN_ENDPOINT if row.description]
    + ["This session is not valid for use with the REST API", "Session expired or invalid"],
)
def test_the_wording_alone_is_enough(wording: str) -> None:
    assert explain_text(f"Error: {wording}")


def test_every_code_and_wording_of_the_catalogue_is_found() -> None:
    for code in {entry.code for entry in CATALOGUE} - {*diagnosis.FAMILIES}:
        assert code in codes(code)
    for wording in {wording for entry in CATALOGUE for wording in entry.wordings}:
        fitting = [other for other in CATALOGUE if wording in (other.fragment, *other.wordings)]
        assert first(f"Error: {wording}") in fitting, wording


# ---- other programs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "fragment"),
    [
        (
            "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='acme.my.salesforce.com', port=443): Max retries "
            "exceeded with url: /services/oauth2/token (Caused by NameResolutionError(\"<urllib3.connection.HTTPSConnection "
            "object at 0x7f>: Failed to resolve 'acme.my.salesforce.com' ([Errno -2] Name or service not known)\"))",
            "dns_failure",
            "",
        ),
        (
            "urllib3.exceptions.NewConnectionError: <…>: Failed to establish a new connection: [Errno 111] Connection refused",
            "connection_refused",
            "",
        ),
        (
            "requests.exceptions.SSLError: HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: / (Caused by "
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed "
            "certificate in certificate chain (_ssl.c:992)')))",
            "tls_failure",
            "",
        ),
        (
            "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, "
            "certificate is not valid for 'acme.my.salesforce.co'. (_ssl.c:992)",
            "tls_failure",
            "hostname mismatch",
        ),
        ("requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='x', port=443): Read timed out.", "timeout", ""),
        (
            "requests.exceptions.ProxyError: HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: / "
            "(Caused by ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 403 Forbidden')))",
            "proxy_failure",
            "",
        ),
        ("('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))", "cut_off", ""),
        ("Error: getaddrinfo ENOTFOUND acme.my.salesforce.com\n    at GetAddrInfoReqWrap.onlookup", "dns_failure", ""),
        ("Error: connect ECONNREFUSED 127.0.0.1:8787", "connection_refused", ""),
        ("Error: connect ETIMEDOUT 85.222.140.1:443", "timeout", ""),
        ("FetchError: request failed, reason: unable to verify the first certificate, code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'",
         "tls_failure", ""),
        ("code: 'CERT_HAS_EXPIRED'", "tls_failure", "certificate has expired"),
        ("ERR_TLS_CERT_ALTNAME_INVALID: Host: x. is not in the cert's altnames", "tls_failure", "hostname mismatch"),
        ("curl: (6) Could not resolve host: acme.my.salesforce.com", "dns_failure", ""),
        ("curl: (7) Failed to connect to localhost port 8787: Connection refused", "connection_refused", ""),
        ("curl: (28) Operation timed out after 10001 milliseconds with 0 bytes received", "timeout", ""),
        ("curl: (35) error:0A00010B:SSL routines::wrong version number", "tls_failure", "wrong version number"),
        ("curl: (52) Empty reply from server", "cut_off", ""),
        ("curl: (56) Received HTTP code 407 from proxy after CONNECT", "proxy_failure", ""),
        ("curl: (60) SSL certificate problem: unable to get local issuer certificate", "tls_failure", ""),
        ("curl: (22) The requested URL returned error: 503", "http_503", ""),
        ("java.net.UnknownHostException: acme.my.salesforce.com", "dns_failure", ""),
        (
            "javax.net.ssl.SSLHandshakeException: PKIX path building failed: sun.security.provider.certpath."
            "SunCertPathBuilderException: unable to find valid certification path to requested target",
            "tls_failure",
            "",
        ),
        ("dial tcp: lookup acme.my.salesforce.com: no such host", "dns_failure", ""),
        ("simple_salesforce.exceptions.SalesforceExpiredSession: Expired session for https://acme.my.salesforce.com/",
         "INVALID_SESSION_ID", ""),
        ("json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)", "not_json", ""),
        ("SyntaxError: Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON", "not_json", "text/html"),
        (
            "<html><head><title>Maintenance</title></head><body><h1>Scheduled maintenance</h1><p>We are down for "
            "maintenance. Sorry for the inconvenience. We&#39;ll be back shortly.</p></body></html>",
            "http_503",
            "",
        ),
        ("<html><head><title>502 Bad Gateway</title></head></html>", "http_502", ""),
        ("The name acme.my.salesforce.com does not resolve.", "dns_failure", ""),
        ("< HTTP/1.1 420 Unknown", "http_420", ""),
        ("jsforce: Error: INVALID_LOGIN: Invalid username, password, security token; or user locked out.",
         "INVALID_LOGIN", ""),
        ("sf:INVALID_SESSION_ID</faultcode><faultstring>INVALID_SESSION_ID: Invalid Session ID found in SessionHeader",
         "INVALID_SESSION_ID", ""),
    ],
)  # fmt: skip
def test_what_other_programs_say_is_understood(text: str, code: str, fragment: str) -> None:
    found = explain_text(text)
    assert [(finding.entry.code, finding.entry.fragment) for finding in found] == [(code, fragment)]


def test_query_string_of_a_browser_redirect_is_decoded() -> None:
    address = "https://localhost/callback#error=access_denied&error_description=" + quote_plus(
        "user hasn't approved this consumer"
    )
    assert first(address).fragment == "user hasn't approved"
    assert codes("error=OAUTH_APP_BLOCKED&error_description=this+app+is+blocked+by+admin") == [
        "OAUTH_APP_BLOCKED"
    ]
    assert (
        "this app is blocked by admin"
        in explain_text("?error_code=x&error_description=this+app+is+blocked+by+admin")[0].excerpt
    )


@pytest.mark.parametrize(
    "apostrophe", ["&#39;", "&#x27;", "\\u0027", "\\'", "\N{RIGHT SINGLE QUOTATION MARK}", "%27"]
)
def test_apostrophe_is_understood_in_every_form(apostrophe: str) -> None:
    wording = f"?error=invalid_grant&error_description=user hasn{apostrophe}t approved this consumer"
    if apostrophe == "%27":
        wording = wording.replace(" ", "%20")
    assert first(wording).fragment == "user hasn't approved"


def test_wording_that_a_terminal_wrapped_is_found() -> None:
    assert (
        first("ERROR: invalid_grant: user hasn't approved\nthis consumer").fragment == "user hasn't approved"
    )
    assert (
        first("the answer was: refresh_token scope is\nrequired and").fragment
        == "refresh_token scope is required"
    )


# ---- several in one text --------------------------------------------------------------------------------------------

LOG = """\
2026-11-22 08:28:01,000 INFO start
2026-11-22 08:28:02,000 INFO 200 OK, all is well; job 17 is paused for a timeout of 30 s
2026-11-22 08:28:03,000 ERROR connection=acme invalid_grant: inactive user
2026-11-22 08:28:04,000 ERROR connection=acme invalid_grant: inactive user
2026-11-22 08:28:05,000 ERROR connection=beta invalid_grant: user hasn't approved this consumer
Traceback (most recent call last):
  File "x.py", line 1, in <module>
requests.exceptions.ConnectionError: HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: / (Caused by
2026-11-22 08:28:06,000 ERROR [{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]
"""


def test_each_error_of_a_log_is_found_once_with_its_line() -> None:
    found = [(finding.entry.fragment, finding.line) for finding in explain_text(LOG)]
    assert found == [("inactive user", 3), ("user hasn't approved", 5), ("session expired or invalid", 9)]


def test_outermost_words_of_a_traceback_count_only_when_nothing_tells_more() -> None:
    assert codes("requests.exceptions.ConnectionError: Max retries exceeded with url: /") == [
        "connection_failed"
    ]
    assert "connection_failed" not in codes(LOG)


def test_general_meaning_of_a_code_comes_after_what_tells_more() -> None:
    apart = "x\n" * 3_000
    text = f"invalid_grant\n{apart}INVALID_TYPE\n"
    assert codes(text) == ["INVALID_TYPE", "invalid_grant"]


def test_excerpt_is_the_line() -> None:
    found = explain_text(LOG)[0]
    assert found.excerpt == "2026-11-22 08:28:03,000 ERROR connection=acme invalid_grant: inactive user"


def test_excerpt_of_a_long_line_is_cut() -> None:
    found = explain_text(f"{'word ' * 100}invalid_client_id {'word ' * 100}")[0]
    assert found.excerpt.startswith("…")
    assert found.excerpt.endswith("…")
    assert len(found.excerpt) < 400


# ---- what is no error -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "hello",
        "42",
        "Traceback (most recent call last):",
        "all is well, 200 OK",
        "The connection is paused; the timeout is 30 s, and the page was redirected. Inactive users were removed.",
        "We paused the job. Timeout: 10. Redirected to the new page.",
        "an error timeout was raised to 30 s",
        "timeout = 30\nread_timeout=10\nrequests.get(url, timeout=10)",
        "def server_error(request):\n    return handlers.server_error(request)",
        "sshd: PAM: 1 more authentication failure from 10.0.0.1",
        "This does not resolve the question whether a restricted IP range is needed.",
        "sqlite3.OperationalError: no such column: name",
        "MODULE_NOT_FOUND_HERE my_invalid_grant invalid_granted",
        "2026-11-22 08:28:01 INFO GET /connections/ 200 12 ms",
        "https://docs.example/errors/invalid_grant.html",
    ],
)
def test_text_that_says_nothing_gets_no_explanation(text: str) -> None:
    assert codes(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "timeout",
        ' "code": "timeout",',
        "code=timeout",
        "refused (timeout)",
        "code: paused",
        "<code>redirected</code>",
    ],
)
def test_plain_words_count_where_codes_stand(text: str) -> None:
    assert len(codes(text)) == 1


# ---- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before_or_after", ["{secret} invalid_grant: inactive user", "invalid_grant: inactive user {secret}"]
)
@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        TOKEN.replace("!", "%21"),
        TOKEN.replace("!", "\\u0021"),
        ASSERTION,
        f"Authorization: Bearer {TOKEN}",
        f"Authorization: Bearer {'s3cr3t.' * 6}",
        "client_secret=c0ffee",
        '"password": "c0ffee"',
        "refresh_token=5Aep861.c0ffee",
        '"password": "two words, c0ffee"',
        "client_secret => 'two c0ffee'",
        '"passphrase": ["c0ffee"]',
        "SF_PASSWORD=c0ffee",
        "my_client_secret=c0ffee",
        "SECRET_KEY=c0ffee",
        "private_key: c0ffee",
        "token=c0ffee",
        "<sessionId>c0ffee</sessionId>",
        "login --client-secret c0ffee",
        "code=aPrxc0ffee.c0ffee.c0ffee.c0ffee==",
        "-H 'Authorization: Digest username=u, response=c0ffee'",
        "-H 'Cookie: BrowserId=a; sid=c0ffee'",
        TOKEN.replace("!", "%2521"),
        "https://me:c0ffee@proxy.example:3128",
        "1C0FFEE0" * 8,
        f"&assertion={quote_plus(ASSERTION)}",
    ],
)
def test_secrets_never_come_back(before_or_after: str, secret: str) -> None:
    text = before_or_after.format(secret=secret)
    for shown in (explain_text(text)[0].excerpt, first_words(text)):
        assert "inactive user" in shown
        for part in (TOKEN[16:], ASSERTION[-20:], "c0ffee", "1C0FFEE0", "s3cr3t", "eyJ"):
            assert part not in shown


@pytest.mark.parametrize("escape", ["\x1b", "\\u001b"])
def test_colours_of_a_terminal_hide_no_error(escape: str) -> None:
    text = f"{escape}[1;31minvalid_grant{escape}[0m: inactive user"
    assert codes(text) == ["invalid_grant"]
    assert explain_text(text)[0].excerpt == "invalid_grant: inactive user"


@pytest.mark.parametrize("line_end", ["\n", "\\n", "\\\\n", " "])
def test_private_keys_never_come_back(line_end: str) -> None:
    body = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"] * 25 + ["sH0rtEnd=="]
    pem = line_end.join(["-----BEGIN PRIVATE KEY-----", *body, "-----END PRIVATE KEY-----"])
    for text in (
        f"key={pem} invalid_grant: inactive user",
        f"invalid_grant: inactive user {pem}",
        f"invalid_client_id {pem[:500]}",
    ):
        for shown in (explain_text(text)[0].excerpt, first_words(text)):
            assert "MIIE" not in shown
            assert "sH0rt" not in shown


def test_no_half_of_a_secret_is_left_where_an_excerpt_is_cut() -> None:
    for length in range(60, 260, 7):
        text = f"{TOKEN}{' ' * 3}{'x' * length} invalid_client_id {'y' * length} {ASSERTION}"
        shown = explain_text(text)[0].excerpt
        assert "Fake" not in shown
        assert "eyJ" not in shown


# ---- any text at all ------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "invalid_grant",
        "error=",
        "%27",
        "\\",
        '"',
        "&#39;",
        "\n",
        "user hasn't approved",
        "-----BEGIN ",
        "İ",
        "timeout",
        "http 503",
    ]
)


@given(st.lists(st.one_of(st.text(max_size=30), PIECES), max_size=30).map("".join))
def test_any_text_can_be_asked(text: str) -> None:
    for finding in explain_text(text):
        assert 1 <= finding.line <= text.count("\n") + 1
        assert len(finding.excerpt) < 600
    assert len(first_words(text)) <= 200


BUSY = "2026-11-22 08:28:01,123 INFO GET /services/data/v66.0/query took 12 ms, the connection is paused, timeout 30 s\n"


@pytest.mark.parametrize(
    "unit",
    [
        BUSY,
        "invalid_grant ",
        "\\",
        "-----BEGIN X-----",
        "error=",
        "a",
        "inactive user ",
        "&#39;",
        "http ",
        "5Aep",
        "://",
    ],
    ids=lambda unit: unit.strip()[:12],
)
def test_a_megabyte_takes_a_moment(unit: str) -> None:
    """Measured at 30 ms for a log, 90 ms for the worst of these; the rest is for slow machines."""
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    started = time.process_time()
    explain_text(text)
    assert time.process_time() - started < 1.0


def test_rows_are_many() -> None:
    """Else an emptied list would let all of the above pass unseen."""
    assert len(ALL) > 120
    assert len(NO_ANSWER) > 20
