from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from orders import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("connections/", include("sf_integration.urls")),
    path("", include("sf_integration.probe_urls")),
    path("<slug:brand>/stock/<slug:sku>/", views.stock, name="stock"),
]
