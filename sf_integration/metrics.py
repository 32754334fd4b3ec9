"""What Prometheus scrapes at `/metrics`, with the extra `metrics`."""
