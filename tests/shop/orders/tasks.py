from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.core.cache import cache
from django.core.mail import mail_managers

from sf_integration import SalesforceError, get_client
from sf_integration.contrib.celery import SalesforceTask

from . import salesforce
from .models import Brand, Customer, Order


class OrderTask(SalesforceTask):
    """Handed out again when its worker dies; what is given up is told at once."""

    acks_late = True
    reject_on_worker_lost = True

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        if not isinstance(exc, SalesforceError):
            return
        if cache.add(f"told:{exc.connection}:{exc.code}", True, timeout=3600):
            mail_managers(f"Salesforce, {exc.connection}: {exc.code}", f"{self.name}{args}: {exc}")


@shared_task(base=OrderTask, name="orders.push_order")
def push_order(order_id: int) -> None:
    salesforce.push(Order.objects.select_related("brand").get(pk=order_id))


@shared_task(name="orders.push_waiting")
def push_waiting(connection: str | None = None) -> None:
    """What was given up meanwhile; of all connections, unless one is named."""
    for order_id in list(Order.waiting(connection).values_list("pk", flat=True)):
        push_order.delay(order_id)


@shared_task(bind=True, base=OrderTask, name="orders.import_customers")
def import_customers(self: Task, brand: str, after: str = salesforce.FIRST_ID) -> None:
    """Every contact as a customer. When the org runs short of API calls, the rest comes an hour later."""
    shop = Brand.objects.get(slug=brand)
    with get_client(shop.connection) as sf:
        for page in salesforce.contact_pages(sf, after):
            Customer.store(shop, page)
            if not salesforce.has_calls_to_spare(sf):
                raise self.retry(args=(brand, page[-1]["Id"]), countdown=3600)


@shared_task(base=OrderTask, name="orders.report_pipeline")
def report_pipeline(brand: str) -> None:
    with get_client(Brand.objects.get(slug=brand).connection) as sf:
        total = salesforce.pipeline(sf)
    mail_managers(f"{brand}: pipeline", f"Open deals: {total:,.2f}")
