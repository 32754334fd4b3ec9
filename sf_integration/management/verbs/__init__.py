"""What `manage.py salesforce` can do: one module per group of verbs, each a few lines over functions anyone can call."""
