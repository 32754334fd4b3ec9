from __future__ import annotations

from django.urls import path

from .views import corrections, detail, explaining, guide, kits, lists, lookups, rotation

app_name = "sf_integration"
urlpatterns = [
    path("", lists.index, name="list"),
    path("health.json", lists.health_json, name="health_json"),
    path("explain/", explaining.explain, name="explain"),
    path("guide/", guide.guide, name="guide"),
    path("new/", guide.new, name="new"),
    path("new/login-url/", guide.login_url, name="login_url"),
    path("new/<uuid:draft_id>/", guide.draft, name="draft"),
    path("new/<uuid:draft_id>/change/", guide.change, name="draft_change"),
    path("new/<uuid:draft_id>/steps/", guide.steps, name="draft_steps"),
    path("new/<uuid:draft_id>/key/", guide.key, name="draft_key"),
    path("new/<uuid:draft_id>/certificate.crt", guide.certificate, name="draft_certificate"),
    path("new/<uuid:draft_id>/setup-kit/", kits.prepare, name="draft_kit"),
    path("new/<uuid:draft_id>/setup-kit.zip", kits.draft, name="draft_kit_download"),
    path("new/<uuid:draft_id>/check/", guide.check, name="draft_check"),
    path("new/<uuid:draft_id>/discard/", guide.discard, name="draft_discard"),
    path("keys/", rotation.keys, name="keys"),
    path("keys/<uuid:key_id>/certificate.crt", rotation.certificate, name="key_certificate"),
    path("keys/<uuid:key_id>/rotation/", rotation.board, name="rotation"),
    path("keys/<uuid:key_id>/rotation/start/", rotation.start, name="rotation_start"),
    path("keys/<uuid:key_id>/rotation/try/", rotation.try_staged, name="rotation_try"),
    path("keys/<uuid:key_id>/rotation/<str:what>/", rotation.act, name="rotation_act"),
    path("<slug:name>/", detail.detail, name="detail"),
    path("<slug:name>/certificate.crt", detail.certificate, name="certificate"),
    path("<slug:name>/setup-kit.zip", kits.connection, name="kit"),
    path("<slug:name>/check/", detail.check, name="check"),
    path("<slug:name>/checks/<uuid:check_id>/trace.txt", detail.trace, name="trace"),
    path("<slug:name>/refresh/", detail.refresh, name="refresh"),
    path("<slug:name>/revoke/", detail.revoke, name="revoke"),
    path("<slug:name>/shorten-session/", detail.shorten_session, name="shorten_session"),
    path("<slug:name>/pause/", detail.pause, name="pause"),
    path("<slug:name>/resume/", detail.resume, name="resume"),
    path("<slug:name>/accept-org/", corrections.accept_org, name="accept_org"),
    path("<slug:name>/use-own-login-url/", corrections.use_own_login_url, name="use_own_login_url"),
    path("<slug:name>/find-fault/", corrections.find_fault, name="find_fault"),
    path("<slug:name>/save-found/", corrections.save_found, name="save_found"),
    path("<slug:name>/identity/", lookups.identity, name="identity"),
    path("<slug:name>/record/", lookups.record, name="record"),
    path("<slug:name>/query/", lookups.query, name="query"),
]
