"""What the shop says to Salesforce and reads from it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

import requests

from sf_integration import Client, SalesforceAuth, SalesforceError, get_client, get_token
from sf_integration.contrib.simple_salesforce import connect
from sf_integration.salesforce.rest import Record

from .models import Brand, Order

FIRST_ID = "000000000000000"

log = logging.getLogger(__name__)


def push(order: Order) -> None:
    """Make or change the order's Opportunity: said twice, it still is one."""
    fields = {
        "Name": f"Shop order {order.number}",
        "StageName": "Closed Won",
        "CloseDate": order.paid_on.isoformat(),
        "Amount": float(order.total),
    }
    with get_client(order.brand.connection) as sf:
        pushed = sf.upsert("Opportunity", "Order_Number__c", order.number, fields)
    Order.objects.filter(pk=order.pk).update(salesforce_id=pushed.id)


def contact_pages(sf: Client, after: str = FIRST_ID) -> Iterator[Sequence[Record]]:
    """All contacts in the order of their ids: what broke off goes on behind the last one that was seen."""
    statement = "SELECT Id, Name, Email FROM Contact WHERE Id > {} ORDER BY Id LIMIT 2000"
    while page := sf.query(statement, after).records:
        yield page
        after = page[-1]["Id"]


def has_calls_to_spare(sf: Client, share: float = 0.2) -> bool:
    """Whether more than this share of the org's daily API calls is left, as its last answer said."""
    usage = sf.api_usage
    return usage is None or usage.used < usage.limit * (1 - share)


def pipeline(sf: Client) -> float:
    """What all open deals are worth, each by its chance; SOQL can't multiply."""
    deals = sf.query_all("SELECT Amount, Probability FROM Opportunity WHERE IsClosed = false")
    return sum((deal["Amount"] or 0) * (deal["Probability"] or 0) / 100 for deal in deals)


def opt_out(brand: Brand, contact_ids: Iterable[str]) -> int:
    """Take people off the newsletter, by Bulk API: any number in one job. How many of them could not be."""
    rows = [{"Id": contact_id, "HasOptedOutOfEmail": True} for contact_id in contact_ids]
    jobs = connect(brand.connection).bulk2.Contact.update(records=rows, wait=1)
    return sum(job["numberRecordsFailed"] for job in jobs)


def invoice(order: Order) -> bytes:
    """The PDF that an Apex class of the back office makes."""
    connection = order.brand.connection
    token = get_token(connection)
    with requests.Session() as session:
        session.auth = SalesforceAuth(connection)
        answer = session.get(f"{token.instance_url}/services/apexrest/invoices/{order.number}", timeout=30)
        answer.raise_for_status()
        return answer.content


def warm() -> None:
    """Have every brand's token in this process's memory before the first customer comes."""
    for connection in Brand.objects.values_list("connection", flat=True).distinct():
        try:
            get_token(connection)
        except SalesforceError as error:
            log.warning("%s: %s", connection, error)  # customers of the other brands come all the same
