from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path
from django.views.decorators.cache import never_cache
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(url="/connections/")),
    path("", include("sf_integration.probe_urls")),
    path("connections/", include("sf_integration.urls")),
    path("api/", include("sf_integration.token_api.urls")),
    path("login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("password/", never_cache(auth.PasswordChangeView.as_view()), name="password_change"),
    path("password/done/", never_cache(auth.PasswordChangeDoneView.as_view()), name="password_change_done"),
    path("admin/", admin.site.urls),
]
