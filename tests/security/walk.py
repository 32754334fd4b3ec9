"""A run that exercises everything there is: found in the code, so that what is new is run too, or fails for being unknown.

Every address is asked by GET and every form of every page is sent, with what FILL knows; every verb, task and act of the HTTP API
is run, and signing in fails in every way, with answers that throw our secrets back at us.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urljoin, urlsplit

from celery import current_app
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import DatabaseError
from django.db import connection as database
from django.test import Client, override_settings
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve, reverse
from django.utils.log import AdminEmailHandler

from sf_integration import get_client, health, keystore, tasks, tokens
from sf_integration.management.commands.salesforce import VERBS, Command
from sf_integration.models import AccessToken, ConnectedApp, SigningKey
from sf_integration.testing.django import ConnectableOrg
from tests.browser.site import ACCOUNT, OTHER_ORG, Site, build

from .canaries import API_KEY, Canaries
from .places import Places

LATE = re.compile(r"logout|delete|discard|revoke|/password|pause|break-it|shut|end")
"""Buttons that take away what others need: pressed after them."""
OURS = ("/connections/", "/admin/sf_integration/")
HEADS = {"token": "00D5g000004FaKe!", "assertion": "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIifQ."}
SHOWS_API_KEY = {"admin:sf_integration_apiclient_add", "admin:sf_integration_apiclient_replace"}
GIVES_TOKEN = {"sf_token_api:jwtauth"}


class Forms(HTMLParser):
    """The forms of a page as a browser would send them, and its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.links: list[str] = []
        self._select = ""
        self._textarea = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "form":
            action, method = found.get("action", ""), found.get("method", "get").lower()
            self.forms.append({"action": action, "method": method, "fields": {}, "buttons": [], "files": []})
        elif self.forms:
            self._field(tag, found, self.forms[-1])

    def _field(self, tag: str, found: dict[str, str], form: dict[str, Any]) -> None:
        name, kind = found.get("name", ""), found.get("type", "text")
        if tag == "option" and self._select and ("selected" in found or self._select not in form["fields"]):
            form["fields"][self._select] = [found.get("value", "")]
        elif tag == "select":
            self._select = name
        elif tag == "textarea":
            self._textarea = name
            form["fields"].setdefault(name, [""])
        elif tag == "button" or (tag == "input" and kind == "submit"):
            form["buttons"].append((name, found.get("value", ""), found.get("formaction", "")))
        elif tag == "input" and kind == "file":
            form["files"].append(name)
        elif tag == "input" and name and (kind not in ("checkbox", "radio") or "checked" in found):
            form["fields"].setdefault(name, []).append(found.get("value", "on"))
        elif tag == "input" and kind == "checkbox" and name in ("chosen", "_selected_action"):
            form["fields"].setdefault(name, []).append(found.get("value", ""))

    def handle_data(self, data: str) -> None:
        if self._textarea and self.forms:
            self.forms[-1]["fields"][self._textarea] = [data.removeprefix("\n")]

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""


def addresses(found: URLResolver | None = None, namespace: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """View name and names of arguments of every URL pattern of the site."""
    for each in (found or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            inner = f"{namespace}{each.namespace}:" if each.namespace else namespace
            yield from addresses(each, inner)
        elif isinstance(each, URLPattern) and each.name:
            arguments = (*each.pattern.converters, *getattr(each.pattern, "regex", re.compile("")).groupindex)
            yield namespace + each.name, tuple(dict.fromkeys(arguments))


class Walk:
    def __init__(self, org: ConnectableOrg, canaries: Canaries, places: Places, folder: Path) -> None:
        self.org, self.canaries, self.places, self.folder = org, canaries, places, folder
        self.browser = Client(raise_request_exception=False)
        self.went_well: set[str] = set()
        """Views that answered with anything but a refusal."""
        self.ran: set[str] = set()
        """Verbs and tasks."""
        self.site: Site
        self.waiting: list[tuple[str, dict[str, Any]]] = []
        """Forms that were seen, with the page of each."""
        self._sent: set[tuple[str, ...]] = set()
        self._api_key = ""

    def everything(self) -> None:
        self.live()
        self.sign_in()
        self.take_keys_in()
        self.walk_pages()
        self.call_api()
        self.run_verbs()
        self.run_tasks()
        self.crash()
        self.press(late=True)
        call_command("dumpdata", stdout=(dumped := io.StringIO()))
        self.places.printed.write(dumped.getvalue().encode())

    # ---- the life of connections ----

    def live(self) -> None:
        """Signed in, renewed, refused; and answers that hold what we sent."""
        self.site = build(self.org)
        User.objects.filter(username="admin").update(email="admin@acme.example")
        admin = User.objects.get(username="admin")
        admin.set_password(self.canaries.password)
        admin.save()
        Group.objects.create(name="walkers")
        key = keystore.take_in(
            self.canaries.encrypted_pem(), name="canary", passphrase=self.canaries.passphrase
        )
        connection = self.org.connect("canary", signing_key=key)
        health.check_connection(connection, asked_by="test")
        self.org.end_sessions()
        with get_client("canary") as client:
            client.query("SELECT Id, Name FROM Account LIMIT 3")
        for kind in ("maintenance", "garbage", "html", "redirect", "close"):
            self._check_while(kind)
        # An answer that throws back what was sent or given.
        for whole in (self._whole("assertion"), self._whole("token")):
            self._check_while("refuse", error="invalid_grant", description=f"bad {whole} given")
            self._check_while("refuse", error=whole, description="no")
            page = f"<html><p>{whole}</p></html>"
            self._check_while("answer", status=500, body=page, content_type="text/html")
        self.org.heal()
        self._check_while("")

    def _check_while(self, fault: str, **options: Any) -> None:
        AccessToken.objects.update(last_try_at=None, next_try_at=None)
        if fault:
            self.org.fail(fault, **options)
        health.check_connection(ConnectedApp.objects.get(name="canary"), asked_by="test")

    # ---- pages ----

    def sign_in(self) -> None:
        wrong = {"username": "admin", "password": self.canaries.mistyped_password}
        assert self.send("/login/", wrong).status_code == 200
        # What people do: the password goes where the name should.
        self.send("/login/", {"username": "someone", "password": self.canaries.mistyped_password})
        right = {"username": "admin", "password": self.canaries.password}
        assert self.send("/login/", right).status_code == 302

    def take_keys_in(self) -> None:
        """By the forms that take them, rightly and with each kind of mistake."""
        canaries = self.canaries
        pem, certificate = canaries.encrypted_pem().decode(), canaries.certificate
        add = reverse("admin:sf_integration_signingkey_add")
        for number, values in enumerate(
            (
                {"pem": pem, "passphrase": canaries.passphrase},
                {"pem": pem, "passphrase": canaries.passphrase + "!"},
                {"pem": canaries.pem[:-400]},
                {"certificate_pem": canaries.pem},
            )
        ):
            self._fill_in(add, {"name": f"typed-{number}", "certificate_pem": certificate} | values)
        page = reverse("admin:sf_integration_connectedapp_add")
        texts = {
            "name": "typed",
            "login_url": self.org.url,
            "consumer_key": self.org.app.consumer_key,
            "username": self.org.user.username,
        }
        self._fill_in(page, texts | {"pem": pem, "passphrase": canaries.passphrase})
        self._fill_in(page, texts | {"name": "no name", "pem": pem, "passphrase": canaries.passphrase})
        self._fill_in(page, texts | {"name": "tried", "pem": canaries.pem, "_try": "1"})
        upload = SimpleUploadedFile("server.key", canaries.pem.encode())
        self._fill_in(page, texts | {"name": "uploaded", "file": upload})

    def _fill_in(self, address: str, values: dict[str, Any]) -> None:
        """The main form of a page: those inputs are filled that are there, by the end of their names."""
        forms = Forms(self.see(self.browser.get(address)).decode())
        form = max(forms.forms, key=lambda each: len(each["fields"]) + len(each["files"]))
        data = dict(form["fields"])
        for name, value in values.items():
            meant = [each for each in (*data, *form["files"]) if each == name or each.endswith(f"_{name}")]
            data |= dict.fromkeys(meant or [name], value)
        self.send(address, data)

    def walk_pages(self) -> None:
        for name, arguments in addresses():
            for values in self.arguments_of(name, arguments):
                self.get(reverse(name, kwargs=values))
        self.press(late=False)

    def arguments_of(self, name: str, arguments: tuple[str, ...]) -> list[dict[str, Any]]:
        """What to put into the address of a view. Raises KeyError for what is not known here."""
        ids = self.site.ids
        known: dict[str, Any] = {
            "name": "acme",
            "draft_id": ids["half"],
            "key_id": ids["key"],
            "check_id": ids["check"],
            "client_id": ids["client"],
            "connection_id": ids["acme"],
            "what": "undo",
            "kind": "csv",
            "app_label": "sf_integration",
            "id": User.objects.get(username="looker").pk,
            "content_type_id": 1,
        }
        if "object_id" not in arguments:
            if name.endswith(":trace"):
                return [{"name": "sick", "check_id": ids["check"]}]
            return [{each: known[each] for each in arguments}]
        if "content_type_id" in arguments:
            return []
        model = next(model for model in self.admin_models() if f"_{model._meta.model_name}_" in name)
        rows = model._default_manager.all()
        if model in (ConnectedApp, SigningKey):
            rows = rows.filter(name__in=("acme", "canary"))
        return [{"object_id": row.pk} for row in rows[:2]]

    @staticmethod
    def admin_models() -> list[Any]:
        from django.contrib import admin

        return [*admin.site._registry]

    def get(self, address: str) -> None:
        path = urlsplit(address).path
        try:
            view = resolve(path).view_name
        except Resolver404:
            return
        marks = (
            "get",
            view,
            *sorted(name for name, _ in parse_qsl(urlsplit(address).query)),
            path.count("/"),
        )
        if (urlsplit(address).query and marks in self._sent) or (address,) in self._sent:
            return
        self._sent |= {marks, (address,)}
        answer = self.browser.get(address)
        content = self.see(answer)
        if "html" in answer.headers.get("Content-Type", ""):
            self._remember(address, content.decode())

    def _remember(self, address: str, html: str) -> None:
        found = Forms(html)
        path, _, query = address.partition("?")
        self.waiting += [(path, form) for form in found.forms if form["method"] == "post"]
        # One step: filters can be combined without end.
        for link in () if query or not path.startswith(OURS) else found.links:
            if link.startswith("?"):
                self.get(urljoin(path, link))

    def press(self, *, late: bool) -> None:
        """Every button of the pages that were seen, once for each of its kind."""
        for path, form in list(self.waiting):
            for name, value, elsewhere in form["buttons"] or [("", "", "")]:
                target = urljoin(path, elsewhere or form["action"]) if elsewhere or form["action"] else path
                for choice in self._choices(form):
                    if bool(LATE.search(f"{target} {name} {value} {choice}")) is late:
                        self._press(target, form, {name: value} if name else {}, choice)

    def _choices(self, form: dict[str, Any]) -> list[str]:
        if "_selected_action" not in form["fields"] or "action" not in form["fields"]:
            return [""]
        from django.contrib import admin

        actions = {name for each in admin.site._registry.values() for name in each.actions or ()}
        return sorted(map(str, actions | {"delete_selected"}))

    def _press(self, target: str, form: dict[str, Any], button: dict[str, str], choice: str) -> None:
        try:
            match = resolve(urlsplit(target).path)
        except Resolver404:
            return
        marks = ("post", match.view_name, match.kwargs.get("what", ""), *button.items(), choice)
        if marks in self._sent or match.view_name in ("login", "admin:login"):
            return
        self._sent.add(marks)
        data = form["fields"] | button | ({"action": choice} if choice else {})
        self.send(target, {name: self._filled(name, value) for name, value in data.items()})

    def _filled(self, name: str, value: Any) -> Any:
        fill = {
            "soql": "SELECT Id, Name FROM Account LIMIT 3",
            "sobject": "Account",
            "record": ACCOUNT,
            "text": f"invalid_grant: user hasn't approved this consumer {self._whole('token')}",
            "found": OTHER_ORG,
            "is_meant": "yes",
            "tag": "coffee",
            "old_password": self.canaries.password,
            "new_password1": self.canaries.next_password,
            "new_password2": self.canaries.next_password,
            "password1": self.canaries.next_password,
            "password2": self.canaries.next_password,
        }
        return fill.get(name, value) if value in ("", [""], None) else value

    def _whole(self, kind: str) -> str:
        """With the parts that are no secret, by which it is known."""
        return f"{HEADS[kind]}{self._last(kind)}"

    def _last(self, kind: str) -> str:
        return str([value for name, value in self.canaries.noted.items() if name.startswith(kind)][-1])

    def send(self, target: str, data: dict[str, Any], **more: Any) -> Any:
        answer = self.browser.post(target, data, **more)
        view = resolve(urlsplit(target).path).view_name
        shows = view in SHOWS_API_KEY and API_KEY.search(answer.getvalue()) is not None
        if shows:
            self.canaries.note_api_keys(answer.getvalue())
        content = self.see(answer, body=not shows, view=view)
        if "html" in answer.headers.get("Content-Type", "") and not shows:
            # What the answer offers, such as to save a pair of addresses that was found to work.
            self.waiting += [
                (urlsplit(target).path, form)
                for form in Forms(content.decode()).forms
                if form["method"] == "post"
            ]
        return answer

    def see(self, answer: Any, *, body: bool = True, view: str = "") -> bytes:
        match = getattr(answer, "resolver_match", None)
        name = view or (match.view_name if match else "")
        if answer.status_code < 400 and name:
            self.went_well.add(name)
        return self.places.see(answer, body=body)

    # ---- programs ----

    def call_api(self) -> None:
        """With an API key that is good, one that is not, and a token that is called refused."""
        self._api_key = self._run(
            "make-api-key", "walked", "--connection", "acme", "--yes", hide=True
        ).strip()
        self.canaries.note_api_keys(self._api_key.encode())
        caller = Client(raise_request_exception=False)
        for api_key in (self._api_key, self._api_key[:-3] + "abc", ""):
            headers = {"Authorization": f"Bearer {api_key}", "Accept-Encoding": "gzip"}
            for name, _ in (each for each in addresses() if each[0].startswith("sf_token_api:")):
                address = reverse(name, kwargs={"name": "acme"} if name.endswith("health") else {})
                if name in GIVES_TOKEN:
                    for body in (
                        {},
                        {"refused": self._last("token")},
                        {"connection": "nobody"},
                        {"sub": api_key},
                    ):
                        answer = caller.post(address, json.dumps(body), "application/json", headers=headers)
                        self.see(answer, body=answer.status_code != 200, view=name)
                else:
                    self.see(caller.get(address, headers=headers))
        for given in (self.canaries.metrics_token, self.canaries.metrics_token[:-3] + "abc"):
            for path in ("/metrics", "/healthz", "/readyz"):
                self.see(caller.get(path, headers={"Authorization": f"Bearer {given}"}))

    # ---- verbs and tasks ----

    def verbs(self) -> dict[str, list[list[str]]]:
        """How each is run. One that is missing here fails the walk."""
        folder, kit = self.folder, self.folder / "kit"
        key_file, env_file, many = folder / "server.key", folder / "tutorial.env", folder / "orgs.csv"
        key_file.write_text(self.canaries.pem)
        key_file.chmod(0o600)
        encrypted = folder / "encrypted.key"
        encrypted.write_bytes(self.canaries.encrypted_pem())
        env_file.write_text(
            f"SF_CLIENT_ID={self.org.app.consumer_key}\nSF_USERNAME={self.org.user.username}\n"
            f"SF_LOGIN_URL={self.org.url}\nSF_PRIVATE_KEY_PATH={key_file}\n"
        )
        many.write_text(
            "name,login_url,consumer_key,username,key_file\n"
            f"many,{self.org.url},{self.org.app.consumer_key},{self.org.user.username},server.key\n"
        )
        values = ["--login-url", self.org.url, "--consumer-key", self.org.app.consumer_key]
        return {
            "list": [[], ["--json"]],
            "alarms": [["--send"], [], ["--json"]],
            "test-alarm": [[]],
            "audit": [[], ["--json"], ["--csv"]],
            "check": [["acme", "--trace"], ["acme", "--trace", "--json"], ["lost", "--find-fault"]],
            "explain": [[f"invalid_grant {self._whole('assertion')}"], ["--json", self._whole("token")]],
            "import": [
                ["typed-here", *values, "--username", self.org.user.username, "--key-file", str(key_file), "--check"],
                ["sealed", *values, "--username", self.org.user.username, "--key-file", str(encrypted)],
                ["of-env", "--env-file", str(env_file)],
                ["--file", str(many), "--json"],
            ],
            "export": [[], ["--format", "json"]],
            "setup-kit": [["acme", "--out", str(kit)]],
            "accept-org": [["moved", "--yes"]],
            "query": [["acme", "SELECT Id FROM Account LIMIT 2"], ["acme", "SELEKT"]],
            "record": [["acme", "Account", ACCOUNT]],
            "token": [["acme", "--yes"]],
            "refresh": [["acme"], []],
            "revoke": [["canary"]],
            "api-clients": [["--json"]],
            "make-api-key": [["by-verb", "--connection", "acme", "--yes"]],
            "revoke-api-key": [["by-verb"]],
            "try-api-key": [[], ["--json"]],
            "make-key": [["by-verb", "--out", str(folder / "made.crt")]],
            "register-key": [["elsewhere", "--signer", "none", "--reference", "x"]],
            "rotate-key": [["acme", "--out", str(folder / "rotated.crt")], ["acme", "--try"]],
            "reencrypt": [["--dry-run"], [], ["--json"]],
            "schedule": [[]],
        }  # fmt: skip

    def run_verbs(self) -> None:
        told = self.verbs()
        for verb in VERBS:
            for arguments in told.get(verb.name, ()):
                self._run(verb.name, *arguments, hide=verb.name in ("token", "make-api-key"))

    def _run(self, *arguments: str, hide: bool = False) -> str:
        """hide: standard output holds what was asked for, a token or an API key. It is that, and is on one line."""
        out, err = io.StringIO(), io.StringIO()
        typed = io.TextIOWrapper(io.BytesIO(self._api_key.encode()))
        environment = {"SF_KEY_PASSPHRASE": self.canaries.passphrase}
        with mock.patch("sys.stdin", typed), mock.patch.dict("os.environ", environment):
            try:
                Command(stdout=out, stderr=err).run_from_argv(["manage.py", "salesforce", *arguments])
            except SystemExit:
                pass
            else:
                self.ran.add(arguments[0])
        if hide:
            self.canaries.note_api_keys(out.getvalue().encode())
        self.places.printed.write((err.getvalue() + ("" if hide else out.getvalue())).encode())
        return out.getvalue()

    def run_tasks(self) -> None:
        """Each as a worker would; the arguments of those that take some by their names."""
        ids = [str(pk) for pk in ConnectedApp.objects.values_list("pk", flat=True)]
        known = {
            "row_ids": [str(pk) for pk in AccessToken.objects.values_list("pk", flat=True)],
            "due": [(pk, True) for pk in ids],
            "act": "check",
            "ids": ids[:2],
            "asked_by": str(User.objects.get(username="admin").pk),
            "began": "2026-01-01T00:00:00+00:00",
        }
        AccessToken.objects.update(last_try_at=None, next_try_at=None)
        for name, task in current_app.tasks.items():
            if not name.startswith("sf_integration."):
                continue
            wanted = task.run.__code__.co_varnames[: task.run.__code__.co_argcount]
            optional = len(task.run.__defaults__ or ())
            needed = [each for each in wanted[: len(wanted) - optional] if each != "self"]
            if set(needed) <= set(known):
                task.apply([known[each] for each in needed])
                self.ran.add(name)
        # One that fails: Celery logs it with its arguments and its traceback.
        with mock.patch.object(tokens, "refresh_batch", side_effect=DatabaseError("gone")):
            tasks.refresh_batch.apply([known["row_ids"]])

    # ---- bugs ----

    def crash(self) -> None:
        """Pages that are given secrets, while something breaks in them: what a developer is shown, and what admins are mailed."""
        mailed = AdminEmailHandler(include_html=True)
        requests = logging.getLogger("django.request")
        requests.addHandler(mailed)
        try:
            with override_settings(DEBUG=True, ADMINS=[("Ann", "ann@acme.example")]), self._broken():
                for address, data in self._with_secrets():
                    answer = self.browser.post(
                        address, data, headers={"Authorization": f"Bearer {self._api_key}"}
                    )
                    assert answer.status_code >= 500 or "json" in answer.headers["Content-Type"], address
                    self.places.reports.write(answer.getvalue())
        finally:
            requests.removeHandler(mailed)

    def _with_secrets(self) -> list[tuple[str, dict[str, Any]]]:
        canaries = self.canaries
        key = {"pem": canaries.encrypted_pem().decode(), "passphrase": canaries.passphrase, "name": "broken"}
        prefixed = {
            f"{prefix}{name}": value for name, value in key.items() for prefix in ("", "key_", "new_")
        }
        passwords = {"old_password": canaries.password, "new_password1": canaries.next_password}
        return [
            (reverse("admin:sf_integration_signingkey_add"), prefixed),
            (reverse("admin:sf_integration_connectedapp_add"), prefixed),
            ("/connections/explain/", {"text": self._whole("token")}),
            ("/connections/acme/check/", {}),
            ("/login/", {"username": "admin", "password": canaries.password}),
            ("/password/", passwords | {"new_password2": canaries.next_password}),
            ("/api/jwtauth", {"refused": self._last("token")}),
        ]

    @contextmanager
    def _broken(self) -> Iterator[None]:
        def break_down(*_: object, **__: object) -> None:
            raise DatabaseError("the database is gone")

        with database.execute_wrapper(break_down):
            yield
