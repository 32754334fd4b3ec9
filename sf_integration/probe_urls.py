"""Probes for load balancers, mounted at the root of a site: /healthz and /readyz."""

from __future__ import annotations

from django.urls import path

from . import probes

urlpatterns = [path("healthz", probes.healthz), path("readyz", probes.readyz)]
