"""Probes for load balancers and monitoring, mounted at the root of a site: /healthz, /readyz and /metrics."""

from __future__ import annotations

from django.urls import path

from . import probes
from .metrics.views import metrics

urlpatterns = [
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    path("metrics", metrics),
]
