"""SOQL: the language of queries."""
