"""Keys, sessions, and the owner's own key."""
