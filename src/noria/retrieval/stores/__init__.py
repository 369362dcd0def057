"""Where vectors are kept."""
