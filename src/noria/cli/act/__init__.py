"""`noria act`: words into API calls that are priced, approved, and can be undone."""
