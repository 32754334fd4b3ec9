"""Our tokens in other people's libraries: one module each, imported only by who asks for it."""
