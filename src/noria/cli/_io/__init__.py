"""What verbs share: output, options, progress, the home."""
