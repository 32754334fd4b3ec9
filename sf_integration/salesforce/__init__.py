"""The Salesforce protocol in plain Python: no Django, no database, no settings.

Read it in the order of a sign-in: `keys`, `assertion`, `oauth`, `rest`; `errors` and `diagnosis` say what can go wrong.
"""
