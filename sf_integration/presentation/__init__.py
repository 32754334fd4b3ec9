"""What pages and admin show alike: stored facts made ready for templates, and what came of an act. Nothing here calls Salesforce or opens a secret."""
