"""What pages and admin share: stored facts made ready for templates, the begin of an act on many, what came of an act.

Nothing here calls Salesforce or opens a secret.
"""
