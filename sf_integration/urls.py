from __future__ import annotations

from django.urls import URLPattern

app_name = "sf_integration"
urlpatterns: list[URLPattern] = []
