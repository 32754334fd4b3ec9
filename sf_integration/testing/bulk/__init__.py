"""Bulk API and Bulk API 2.0: many records in one job. The work is done at once; only its progress is told bit by bit."""
