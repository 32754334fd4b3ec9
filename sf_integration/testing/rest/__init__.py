"""The REST API below `/services/data`."""
