from __future__ import annotations

from django.urls import path

from .views import detail, lists, lookups

app_name = "sf_integration"
urlpatterns = [
    path("", lists.index, name="list"),
    path("health.json", lists.health_json, name="health_json"),
    path("<slug:name>/", detail.detail, name="detail"),
    path("<slug:name>/certificate.crt", detail.certificate, name="certificate"),
    path("<slug:name>/check/", detail.check, name="check"),
    path("<slug:name>/refresh/", detail.refresh, name="refresh"),
    path("<slug:name>/revoke/", detail.revoke, name="revoke"),
    path("<slug:name>/shorten-session/", detail.shorten_session, name="shorten_session"),
    path("<slug:name>/pause/", detail.pause, name="pause"),
    path("<slug:name>/resume/", detail.resume, name="resume"),
    path("<slug:name>/identity/", lookups.identity, name="identity"),
    path("<slug:name>/record/", lookups.record, name="record"),
    path("<slug:name>/query/", lookups.query, name="query"),
]
