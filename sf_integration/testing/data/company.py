"""The demo company of the stand-in: an invented coffee trader with its customers, people, deals and complaints.

The same rows at every start; only their dates move along with today, so that "last week" is never empty.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .. import ids
from . import schema
from .store import Store, salesforce_datetime

if TYPE_CHECKING:
    from ..orgs import User

FIRST_USER_ID = ids.numbered("005", 0)
WELL_KNOWN_ACCOUNT_ID = "001Dn00000Gi7HJIAZ"
CONTACTS = 2_500
OPPORTUNITIES = 180
CASES = 240

_Row = dict[str, Any]

# name, type, industry, city, country, yearly revenue, employees
_COMPANIES: tuple[tuple[str, str | None, str, str, str, int | None, int | None], ...] = (
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
_SUBJECTS = (
    "Delivery arrived two days late",
    "Grinder stops after the second cup",
    'Label says "decaf", taste says otherwise',
    "Invoice doesn't match the order",
    "Question about the größte Packung",
    "Please change our delivery address",
)


@lru_cache(maxsize=1)
def _company_store() -> Store:
    store = Store()
    company = _Company(store, FIRST_USER_ID)
    company.write("Account", company.accounts())
    company.write("Contact", company.contacts())
    company.write("Opportunity", company.opportunities())
    company.write("Case", company.cases())
    return store


def demo_store() -> Store:
    """A store of one's own with the demo company, whose records belong to the org's first user."""
    return _company_store().copy()


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


def add_user_row(store: Store, user: User) -> None:
    """The record of a user of the org."""
    moment = salesforce_datetime(datetime.now(UTC) - timedelta(days=420))
    row = {
        "Id": user.id,
        "Username": user.username,
        "FirstName": user.first_name,
        "LastName": user.last_name,
        "Name": user.name,
        "Email": user.email,
        "Alias": user.username[:8],
        "UserType": "Standard",
        "IsActive": int(user.active),
        "TimeZoneSidKey": "Europe/Berlin",
        "LanguageLocaleKey": "en_US",
        "LocaleSidKey": "de_DE",
        **_dates(moment, moment),
    }
    store.add(schema.get("User"), [row])


def _dates(created: str, modified: str) -> _Row:
    return {"CreatedDate": created, "LastModifiedDate": modified, "SystemModstamp": modified}


class _Company:
    """Makes the rows; keeps the ids later rows refer to."""

    def __init__(self, store: Store, owner_id: str) -> None:
        self._store = store
        self._owner_id = owner_id
        self._dice = random.Random("nordhafen")  # noqa: S311  same rows at each start, nothing secret
        self._now = datetime.now(UTC)
        self._account_ids: list[str] = []
        self._contact_ids: list[tuple[str, str | None]] = []

    def write(self, name: str, rows: Iterator[_Row]) -> None:
        self._store.add(schema.get(name), rows)

    def accounts(self) -> Iterator[_Row]:
        for number, company in enumerate(_COMPANIES):
            yield self._account(company, number, branch=None, parent_id=None)
        for number, company in enumerate(_COMPANIES[:6]):
            parent_id = self._account_ids[number]
            for branch in _DISTRICTS:
                yield self._account(company, len(self._account_ids), branch=branch, parent_id=parent_id)

    def _account(
        self,
        company: tuple[str, str | None, str, str, str, int | None, int | None],
        number: int,
        *,
        branch: str | None,
        parent_id: str | None,
    ) -> _Row:
        name, kind, industry, city, country, revenue, employees = company
        dice = self._dice
        is_first = number == 0
        record_id = WELL_KNOWN_ACCOUNT_ID if is_first else self._store.new_id(schema.get("Account"))
        self._account_ids.append(record_id)
        has_position = dice.random() < 0.5
        return {
            "Id": record_id,
            "Name": f"{name}, {branch}" if branch else name,
            "AccountNumber": f"NH-{10_000 + number * 37}" if is_first or dice.random() < 0.9 else None,
            "Type": kind,
            "Industry": industry,
            "Rating": dice.choice(("Hot", "Warm", "Cold", None)),
            "Phone": f"+49 40 555 {number:04d}",
            "Website": f"https://customer{number}.example",
            "AnnualRevenue": None if branch else revenue and float(revenue),
            "NumberOfEmployees": dice.randrange(3, 30) if branch else employees,
            "Description": _story(name) if number % 5 == 0 else None,
            "BillingStreet": f"{dice.choice(_STREETS)} {dice.randrange(1, 140)}\n{number + 1}. floor",
            "BillingCity": city,
            "BillingState": None,
            "BillingPostalCode": f"{dice.randrange(10_000, 99_999)}",
            "BillingCountry": country,
            "BillingLatitude": round(dice.uniform(40, 60), 6) if has_position else None,
            "BillingLongitude": round(dice.uniform(-8, 24), 6) if has_position else None,
            "BillingGeocodeAccuracy": "Address" if has_position else None,
            "ParentId": parent_id,
            "LastActivityDate": self._date(-dice.randrange(0, 200)) if dice.random() < 0.8 else None,
            # Two branches share a number: a lookup by it finds two records.
            "ERP_Number__c": f"C{min(number, len(_COMPANIES) + 34):05d}",
            "Customer_Since__c": self._date(-dice.randrange(300, 6000)) if kind != "Prospect" else None,
            "Key_Account__c": int((revenue or 0) > 10_000_000),
            **self._owned((number * 53 + 40) % 900),
        }

    def contacts(self) -> Iterator[_Row]:
        dice = self._dice
        sobject = schema.get("Contact")
        for number in range(CONTACTS):
            first, last = dice.choice(_FIRST_NAMES), dice.choice(_LAST_NAMES)
            # Squared, so that a few accounts have many contacts and the last one has none.
            place = int(dice.random() ** 2 * (len(self._account_ids) - 1))
            account_id = None if number % 40 == 39 else self._account_ids[place]
            record_id = self._store.new_id(sobject)
            self._contact_ids.append((record_id, account_id))
            yield {
                "Id": record_id,
                "AccountId": account_id,
                "FirstName": first,
                "LastName": last,
                "Name": f"{first} {last}",
                "Salutation": dice.choice(("Mr.", "Ms.", "Dr.", None)),
                "Title": dice.choice(_TITLES),
                "Department": dice.choice(_DEPARTMENTS),
                "Email": f"contact{number}@customer.example" if number % 7 else None,
                "Phone": f"+49 40 556 {number:04d}",
                "Birthdate": self._date(-dice.randrange(7_000, 24_000)) if number % 3 == 0 else None,
                "HasOptedOutOfEmail": int(number % 11 == 0),
                "MailingCity": dice.choice(_COMPANIES)[3],
                "MailingCountry": dice.choice(_COMPANIES)[4],
                **self._owned(dice.randrange(0, 900)),
            }

    def opportunities(self) -> Iterator[_Row]:
        dice = self._dice
        chances = {
            "Prospecting": 10.0,
            "Qualification": 25.0,
            "Proposal": 50.0,
            "Negotiation": 75.0,
            "Closed Won": 100.0,
            "Closed Lost": 0.0,
        }
        for number in range(OPPORTUNITIES):
            stage = dice.choice(tuple(chances))
            is_closed = stage.startswith("Closed")
            days = -dice.randrange(1, 400) if is_closed else dice.randrange(0, 200)
            yield {
                "Id": self._store.new_id(schema.get("Opportunity")),
                "AccountId": dice.choice(self._account_ids),
                "Name": f"{dice.choice(_PRODUCTS)} {2024 + number % 3}",
                "StageName": stage,
                "CloseDate": self._date(days),
                "Amount": round(dice.uniform(400, 90_000), 2) if number % 9 else None,
                "Probability": chances[stage],
                "IsClosed": int(is_closed),
                "IsWon": int(stage == "Closed Won"),
                "NextStep": None
                if is_closed
                else dice.choice(("Send samples", "Call back", "Tasting in March", None)),
                **self._owned(dice.randrange(0, 500)),
            }

    def cases(self) -> Iterator[_Row]:
        dice = self._dice
        for number in range(CASES):
            status = dice.choice(("New", "Working", "Escalated", "Closed", "Closed"))
            contact_id, account_id = dice.choice(self._contact_ids)
            days_ago = dice.randrange(0, 365)
            closed = self._now - timedelta(days=dice.randrange(0, days_ago + 1))
            yield {
                "Id": self._store.new_id(schema.get("Case")),
                "CaseNumber": f"{1_001 + number:08d}",
                "AccountId": account_id,
                "ContactId": contact_id,
                "Subject": dice.choice(_SUBJECTS),
                "Status": status,
                "Priority": dice.choice(("High", "Medium", "Low")),
                "Origin": dice.choice(("Phone", "Email", "Web")),
                "Description": _story("A customer") if number % 25 == 0 else None,
                "IsClosed": int(status == "Closed"),
                "ClosedDate": salesforce_datetime(closed) if status == "Closed" else None,
                **self._owned(days_ago),
            }

    def _owned(self, days_ago: int) -> _Row:
        created = self._now - timedelta(days=days_ago, minutes=self._dice.randrange(0, 1440))
        modified = created + (self._now - created) * self._dice.random()
        return {
            "OwnerId": self._owner_id,
            "CreatedById": self._owner_id,
            "LastModifiedById": self._owner_id,
            **_dates(salesforce_datetime(created), salesforce_datetime(modified)),
        }

    def _date(self, days: int) -> str:
        return (self._now + timedelta(days=days)).date().isoformat()


def _story(name: str) -> str:
    """A long text with the characters that break naive code."""
    sentence = f"{name} says: \"It's 100 % Arabica, isn't it?\" <b>Not bold</b> & never was; naïve façade, 3 € a cup. "
    return (sentence * 12).strip() + "\n\nSecond paragraph:\t☕"
