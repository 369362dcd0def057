"""From a question to passages, under the caller's grants and label."""
