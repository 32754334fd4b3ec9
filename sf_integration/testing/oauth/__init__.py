"""The OAuth endpoints: who may sign in, and whom a token belongs to."""
