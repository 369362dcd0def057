"""A home's models for verbs: through the running server, or a gateway of their own."""
