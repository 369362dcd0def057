"""One run of an application's function, and what happens inside it."""
