"""The demo company of the stand-in: an invented coffee trader with its customers, people, deals and complaints.

The same rows at every start; only their dates move along with today, so that "last week" is never empty.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from .. import ids
from . import schema
from .store import Store, salesforce_datetime

if TYPE_CHECKING:
    from ..users import User

FIRST_USER_ID = ids.numbered("005", 0)
WELL_KNOWN_ACCOUNT_ID = "001Dn00000Gi7HJIAZ"
CONTACTS = 2_500
OPPORTUNITIES = 180
CASES = 240

SEED = "nordhafen"
"""The seed of the company that is there when none is asked for."""

_T = TypeVar("_T")
_Row = dict[str, Any]
_Known = tuple[str, str | None, str, str, str, int | None, int | None]
_OLDEST_DAYS = 24_000
_SHARES_ITS_NUMBER = 59
_STORIES = 10_000
"""Long texts only for the first so many records: a hundred thousand of them would fill the memory."""

# name, type, industry, city, country, yearly revenue, employees
_COMPANIES: tuple[_Known, ...] = (
    (
        "Kaffeerösterei Brandt & Söhne",
        "Customer - Direct",
        "Food & Beverage",
        "Hamburg",
        "Germany",
        4_200_000,
        38,
    ),
    ("O'Sullivan's Coffee Rooms", "Customer - Direct", "Hospitality", "Cork", "Ireland", 1_150_000, 21),
    ("Blåbär Konditori AB", "Customer - Direct", "Hospitality", "Göteborg", "Sweden", 860_000, 14),
    (
        "Torrefazione Bellavista S.r.l.",
        "Customer - Channel",
        "Food & Beverage",
        "Trieste",
        "Italy",
        12_400_000,
        96,
    ),
    ("Hotel zur Alten Mühle", "Customer - Direct", "Hospitality", "Füssen", "Germany", 2_300_000, 44),
    ("Meridian Freight Lines", "Partner", "Shipping", "Rotterdam", "Netherlands", 88_000_000, 610),
    ('Bäckerei "Goldene Ähre"', "Customer - Direct", "Food & Beverage", "Würzburg", "Germany", 640_000, 12),
    ("Fjord & Fjell Kaffebrenneri", "Prospect", "Food & Beverage", "Bergen", "Norway", None, 9),
    ("Caférestaurant Łódź Fabryczna", "Customer - Direct", "Hospitality", "Łódź", "Poland", 390_000, 17),
    ("Quay Street Grocers", "Customer - Channel", "Retail", "Bristol", "United Kingdom", 31_000_000, 240),
    ("Espresso Express Vending", "Customer - Channel", "Retail", "Lyon", "France", 7_700_000, 58),
    ("Nordlicht Bürokaffee", "Customer - Direct", "Food & Beverage", "Kiel", "Germany", 1_900_000, 25),
    ("Taberna São Vicente", "Prospect", "Hospitality", "Porto", "Portugal", None, None),
    ("Silverline Point of Sale", "Partner", "Technology", "Tallinn", "Estonia", 5_600_000, 41),
    ("Grand Café Métropole", "Customer - Direct", "Hospitality", "Bruxelles", "Belgium", 3_450_000, 52),
    ("Čajovna U Zlatého hada", "Prospect", "Hospitality", "Praha", "Czechia", 210_000, 6),
    ("Weststrand Feinkost", "Customer - Direct", "Retail", "Westerland", "Germany", 980_000, 11),
    ("Harbour Lights Catering", "Customer - Direct", "Hospitality", "Dublin", "Ireland", 2_050_000, 63),
    ("Kontor Übersee Handelsgesellschaft", "Partner", "Shipping", "Bremen", "Germany", 46_000_000, 180),
    ("Pâtisserie l'Étoile du Nord", "Customer - Direct", "Food & Beverage", "Lille", "France", 720_000, 13),
    ("Kahvila Ääni", None, "Hospitality", "Tampere", "Finland", 330_000, 8),
    ("Zürichberg Kaffeemaschinen", "Partner", "Technology", "Zürich", "Switzerland", 9_900_000, 47),
    (
        "Molino Blanco Panaderías",
        "Customer - Channel",
        "Food & Beverage",
        "Zaragoza",
        "Spain",
        15_200_000,
        310,
    ),
    ("The Slow Cup", "Prospect", "Hospitality", "Edinburgh", "United Kingdom", 180_000, 5),
)
_DISTRICTS = ("Nord", "Süd", "Hafen", "Bahnhof", "Altstadt", "Messe")
_STREETS = (
    "Lindenstraße",
    "Quay Street",
    "Rue du Port",
    "Kaistraße",
    "Market Place",
    "Via Roma",
    "Storgatan",
)
_FIRST_NAMES = (
    "Anna", "Björn", "Chloé", "Dariusz", "Élodie", "Fiona", "Giulia", "Håkon", "Ines", "Jürgen", "Katarzyna",
    "Liam", "Mária", "Niklas", "Orla", "Paweł", "Quentin", "Rósa", "Søren", "Teresa", "Ute", "Viktor", "Wiebke",
    "Xavier", "Yvonne", "Zoë",
)  # fmt: skip
_LAST_NAMES = (
    "Andersson", "Brandt", "Castellani", "D'Angelo", "Eriksen", "Fernández", "García", "Hölscher", "Ibsen",
    "Jansen", "Kowalczyk", "Lindqvist", "Müller", "Nováková", "O'Brien", "Petersen", "Quadflieg", "Ruiz",
    "Strauß", "Tómasdóttir", "Ullmann", "van der Berg", "Weiß", "Young", "Ziegler",
)  # fmt: skip
_TITLES = (
    "Head of Purchasing",
    "Barista Trainer",
    "Owner",
    "Store Manager",
    "Accounts Payable",
    "Chef",
    None,
)
_DEPARTMENTS = ("Purchasing", "Operations", "Finance", None)
_PRODUCTS = ("Espresso blend", "Filter roast", "Decaf", "Cold brew kegs", "Grinder service", "Green beans")
CHANCES = {
    "Prospecting": 10.0,
    "Qualification": 25.0,
    "Proposal": 50.0,
    "Negotiation": 75.0,
    "Closed Won": 100.0,
    "Closed Lost": 0.0,
}
_STAGES = tuple(CHANCES)
_NEXT_STEPS = ("Send samples", "Call back", "Tasting in March", None)
_USER_COLUMNS = (
    "Username", "FirstName", "LastName", "Name", "Email", "Alias", "UserType", "IsActive", "TimeZoneSidKey",
    "LanguageLocaleKey", "LocaleSidKey",
)  # fmt: skip
_SUBJECTS = (
    "Delivery arrived two days late",
    "Grinder stops after the second cup",
    'Label says "decaf", taste says otherwise',
    "Invoice doesn't match the order",
    "Question about the größte Packung",
    "Please change our delivery address",
)


@lru_cache(maxsize=4)
def _company_store(seed: str) -> Store:
    store = Store()
    _Founder(store, seed).found()
    return store


def demo_store(seed: str = SEED) -> Store:
    """A store of one's own with the demo company, whose records belong to the org's first user.

    The same seed makes the same rows, on the same day.
    """
    return _company_store(seed).copy()


def fill(store: Store, name: str, count: int, *, seed: str | None = None) -> None:
    """Add records of this sObject: 100,000 take about a second.

    Raises ValueError for an sObject it can't make up records of.
    """
    _Founder(store, seed or SEED).add(name, count)


def add_organization_row(
    store: Store, *, org_id: str, name: str, is_sandbox: bool, organization_type: str
) -> None:
    """The one record that describes the org itself."""
    moment = salesforce_datetime(datetime.now(UTC) - timedelta(days=500))
    row = {
        "Id": org_id,
        "Name": name,
        "OrganizationType": organization_type,
        "InstanceName": "CS312" if is_sandbox else "EU47",
        "IsSandbox": int(is_sandbox),
        "TrialExpirationDate": None,
        "NamespacePrefix": None,
        "Country": "DE",
        "LanguageLocaleKey": "en_US",
        "DefaultLocaleSidKey": "de_DE",
        "TimeZoneSidKey": "Europe/Berlin",
        **_dates(moment, moment),
    }
    store.add(schema.get("Organization"), [row])


def change_organization_id(store: Store, before: str, after: str) -> None:
    store.change(schema.get("Organization"), before, {"Id": after})


def add_user_row(store: Store, user: User) -> None:
    """The record of a user of the org."""
    moment = salesforce_datetime(datetime.now(UTC) - timedelta(days=420))
    store.add(schema.get("User"), [{"Id": user.id, **_user_values(user), **_dates(moment, moment)}])


def show_users(store: Store, users: Iterable[User]) -> None:
    """Let the users' records say what the users are now: tests change `user.active` and the like."""
    sobject = schema.get("User")
    columns = ", ".join(f'"{name}"' for name in _USER_COLUMNS)
    shown = {row[0]: row[1:] for row in store.rows(f'SELECT "Id", {columns} FROM "User"')}  # noqa: S608  our own names
    for user in users:
        values = _user_values(user)
        if user.id in shown and shown[user.id] != tuple(values.values()):
            store.change(sobject, user.id, values)


def _user_values(user: User) -> _Row:
    values = (
        user.username, user.first_name, user.last_name, user.name, user.email, user.username[:8], "Standard",
        int(user.active), "Europe/Berlin", "en_US", "de_DE",
    )  # fmt: skip
    return dict(zip(_USER_COLUMNS, values, strict=True))


def _dates(created: str, modified: str) -> _Row:
    return {"CreatedDate": created, "LastModifiedDate": modified, "SystemModstamp": modified}


class _Founder:
    """Makes the rows; later ones refer to the ids of earlier ones."""

    def __init__(self, store: Store, seed: str) -> None:
        self._store = store
        self._seed = seed
        self._dice = random.Random(seed)  # noqa: S311  same rows for the same seed, nothing secret
        today = datetime.now(UTC).date()
        self._days = [(today - timedelta(days=days)).isoformat() for days in range(_OLDEST_DAYS + 1)]
        """Days as text, by how long ago they were: making each from a date would take too long."""
        self._today = today

    def found(self) -> None:
        """The company as it is at first."""
        self._write("Account", self._first_accounts())
        self._write("Contact", self._contacts(CONTACTS))
        self._write("Opportunity", self._opportunities(OPPORTUNITIES))
        self._write("Case", self._cases(CASES))

    def add(self, name: str, count: int) -> None:
        makers = {
            "Account": self._further_accounts,
            "Contact": self._contacts,
            "Opportunity": self._opportunities,
            "Case": self._cases,
        }
        sobject = schema.find(name)
        if sobject is None or sobject.name not in makers:
            raise ValueError(f"no records of {name!r} can be made up; of these they can: {', '.join(makers)}")
        if count < 0:
            raise ValueError("the number of records can't be negative")
        # Another throw for each further call, or the same people would be there again.
        self._dice.seed(f"{self._seed} {sobject.name} {self._store.last_number(sobject)}")
        self._write(sobject.name, makers[sobject.name](count))

    def _write(self, name: str, rows: Iterator[_Row]) -> None:
        self._store.add(schema.get(name), rows)

    def _numbered_ids(self, name: str, count: int) -> Iterator[tuple[int, str]]:
        """So many new ids with their numbers, which go on where earlier ones ended."""
        sobject = schema.get(name)
        first = self._store.last_number(sobject)
        return enumerate(self._store.new_ids(sobject, count), first)

    def _ids(self, columns: str, name: str) -> list[tuple[Any, ...]]:
        return self._store.rows(f'SELECT {columns} FROM "{name}" WHERE "IsDeleted" = 0 ORDER BY rowid')  # noqa: S608  our own names

    # Accounts

    def _first_accounts(self) -> Iterator[_Row]:
        further = self._store.new_ids(schema.get("Account"), len(_COMPANIES) - 1 + 6 * len(_DISTRICTS))
        account_ids = [WELL_KNOWN_ACCOUNT_ID, *further]
        for number, company in enumerate(_COMPANIES):
            yield self._account(company, number, account_ids[number])
        number = len(_COMPANIES)
        for parent, company in enumerate(_COMPANIES[:6]):
            for district in _DISTRICTS:
                yield self._account(
                    company, number, account_ids[number], branch=district, parent_id=account_ids[parent]
                )
                number += 1

    def _further_accounts(self, count: int) -> Iterator[_Row]:
        for number, record_id in self._numbered_ids("Account", count):
            # From 1: the first account of all has an id of its own, without a number.
            yield self._account(
                self._pick(_COMPANIES), number + 1, record_id, branch=f"{self._pick(_DISTRICTS)} {number}"
            )

    def _account(
        self,
        company: _Known,
        number: int,
        record_id: str,
        *,
        branch: str | None = None,
        parent_id: str | None = None,
    ) -> _Row:
        name, kind, industry, city, country, revenue, employees = company
        pick, below, chance = self._pick, self._below, self._dice.random
        has_position = chance() < 0.5
        return {
            "Id": record_id,
            "Name": f"{name}, {branch}" if branch else name,
            "AccountNumber": f"NH-{10_000 + number * 37}" if number == 0 or chance() < 0.9 else None,
            "Type": kind,
            "Industry": industry,
            "Rating": pick(("Hot", "Warm", "Cold", None)),
            "Phone": f"+49 40 555 {number:04d}",
            "Website": f"https://customer{number}.example",
            "AnnualRevenue": None if branch else revenue and float(revenue),
            "NumberOfEmployees": 3 + below(27) if branch else employees,
            "Description": _story(name) if number % 5 == 0 and number < _STORIES else None,
            "BillingStreet": f"{pick(_STREETS)} {1 + below(139)}\n{number % 40 + 1}. floor",
            "BillingCity": city,
            "BillingPostalCode": f"{10_000 + below(89_999)}",
            "BillingCountry": country,
            "BillingLatitude": round(40 + 20 * chance(), 6) if has_position else None,
            "BillingLongitude": round(32 * chance() - 8, 6) if has_position else None,
            "BillingGeocodeAccuracy": "Address" if has_position else None,
            "ParentId": parent_id,
            "LastActivityDate": self._days[below(200)] if chance() < 0.8 else None,
            # Two branches share a number: a lookup by it finds two records.
            "ERP_Number__c": f"C{number - (number == _SHARES_ITS_NUMBER):05d}",
            "Customer_Since__c": self._days[300 + below(5_700)] if kind != "Prospect" else None,
            "Key_Account__c": int((revenue or 0) > 10_000_000),
            **self._owned((number * 53 + 40) % 900),
        }

    # People, deals, complaints

    def _contacts(self, count: int) -> Iterator[_Row]:
        pick, below, chance = self._pick, self._below, self._dice.random
        account_ids = [account_id for (account_id,) in self._ids('"Id"', "Account")]
        for number, record_id in self._numbered_ids("Contact", count):
            first, last = pick(_FIRST_NAMES), pick(_LAST_NAMES)
            home = pick(_COMPANIES)
            # Squared, so that a few accounts have many contacts and the last one has none.
            place = int(chance() ** 2 * (len(account_ids) - 1))
            yield {
                "Id": record_id,
                "AccountId": None if number % 40 == 39 or not account_ids else account_ids[place],
                "FirstName": first,
                "LastName": last,
                "Name": f"{first} {last}",
                "Salutation": pick(("Mr.", "Ms.", "Dr.", None)),
                "Title": pick(_TITLES),
                "Department": pick(_DEPARTMENTS),
                "Email": f"contact{number}@customer.example" if number % 7 else None,
                "Phone": f"+49 40 556 {number:04d}",
                "Birthdate": self._days[7_000 + below(17_000)] if number % 3 == 0 else None,
                "HasOptedOutOfEmail": int(number % 11 == 0),
                "MailingCity": home[3],
                "MailingCountry": home[4],
                **self._owned(below(900)),
            }

    def _opportunities(self, count: int) -> Iterator[_Row]:
        pick, below = self._pick, self._below
        account_ids = [account_id for (account_id,) in self._ids('"Id"', "Account")]
        for number, record_id in self._numbered_ids("Opportunity", count):
            stage = pick(_STAGES)
            is_closed = stage.startswith("Closed")
            days = -1 - below(399) if is_closed else below(200)
            yield {
                "Id": record_id,
                "AccountId": pick(account_ids) if account_ids else None,
                "Name": f"{pick(_PRODUCTS)} {2024 + number % 3}",
                "StageName": stage,
                "CloseDate": (self._today + timedelta(days=days)).isoformat(),
                "Amount": round(400 + 89_600 * self._dice.random(), 2) if number % 9 else None,
                "Probability": CHANCES[stage],
                "IsClosed": int(is_closed),
                "IsWon": int(stage == "Closed Won"),
                "NextStep": None if is_closed else pick(_NEXT_STEPS),
                **self._owned(below(500)),
            }

    def _cases(self, count: int) -> Iterator[_Row]:
        pick, below = self._pick, self._below
        contacts = self._ids('"Id", "AccountId"', "Contact") or [(None, None)]
        for number, record_id in self._numbered_ids("Case", count):
            status = pick(("New", "Working", "Escalated", "Closed", "Closed"))
            contact_id, account_id = pick(contacts)
            days_ago = below(365)
            yield {
                "Id": record_id,
                "CaseNumber": f"{1_001 + number:08d}",
                "AccountId": account_id,
                "ContactId": contact_id,
                "Subject": pick(_SUBJECTS),
                "Status": status,
                "Priority": pick(("High", "Medium", "Low")),
                "Origin": pick(("Phone", "Email", "Web")),
                "Description": _story("A customer") if number % 25 == 0 and number < _STORIES else None,
                "IsClosed": int(status == "Closed"),
                "ClosedDate": self._moment(1 + below(days_ago + 1), 86_399) if status == "Closed" else None,
                **self._owned(days_ago),
            }

    # Small things

    def _owned(self, days_ago: int) -> _Row:
        """Who made and changed a record, and when; nothing lies in the future, or changes before it is made."""
        second = self._below(86_400)
        created = self._moment(days_ago + 1, second)
        modified = self._moment(1 + self._below(days_ago + 1), 86_399)
        return {
            "OwnerId": FIRST_USER_ID,
            "CreatedById": FIRST_USER_ID,
            "LastModifiedById": FIRST_USER_ID,
            **_dates(created, modified),
        }

    def _moment(self, days_ago: int, second: int) -> str:
        minutes, seconds = divmod(second, 60)
        return f"{self._days[days_ago]}T{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.000+0000"

    def _pick(self, choices: Sequence[_T]) -> _T:
        """Three times as quick as `choice`, which counts with a hundred thousand rows."""
        return choices[int(self._dice.random() * len(choices))]

    def _below(self, end: int) -> int:
        return int(self._dice.random() * end)


def _story(name: str) -> str:
    """A long text with the characters that break naive code."""
    sentence = f"{name} says: \"It's 100 % Arabica, isn't it?\" <b>Not bold</b> & never was; naïve façade, 3 € a cup. "
    return (sentence * 12).strip() + "\n\nSecond paragraph:\t☕"
