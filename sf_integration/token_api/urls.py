"""Mounted by a site, as in `path("api/", include("sf_integration.token_api.urls"))`."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "sf_token_api"
urlpatterns = [
    path("jwtauth", views.jwtauth, name="jwtauth"),
    path("connections", views.connections, name="connections"),
    path("connections/<str:name>/health", views.health, name="health"),
    path("openapi.json", views.openapi, name="openapi"),
    path("<path:rest>", views.not_found),
]
