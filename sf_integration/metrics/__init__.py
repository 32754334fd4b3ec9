"""What Prometheus scrapes at `/metrics`, with the extra `metrics`: `views` has the door, `collector` what is told."""
