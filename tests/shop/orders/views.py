from __future__ import annotations

from django.core.cache import cache
from django.http import Http404, HttpRequest, JsonResponse
from django.shortcuts import aget_object_or_404

from sf_integration import NotFound, RetryableError, SalesforceError, aget_client

from .models import Brand


async def stock(request: HttpRequest, brand: str, sku: str) -> JsonResponse:
    """How much of it is left. While Salesforce is away, as much as it said last."""
    shop = await aget_object_or_404(Brand, slug=brand)
    kept = f"stock:{brand}:{sku}"
    try:
        async with aget_client(shop.connection, timeout_seconds=3) as sf:
            left = (await sf.request_json("GET", f"/services/apexrest/stock/{sku}"))["left"]
    except NotFound as error:
        raise Http404(sku) from error
    except (SalesforceError, LookupError) as error:  # or other JSON
        if (left := await cache.aget(kept)) is None:
            wait = error.retry_after if isinstance(error, RetryableError) else 600
            return JsonResponse({"left": None}, status=503, headers={"Retry-After": str(int(wait) + 1)})
        return JsonResponse({"left": left, "fresh": False})
    await cache.aset(kept, left, timeout=24 * 3600)
    return JsonResponse({"left": left, "fresh": True})
