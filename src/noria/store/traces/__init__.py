"""Reading what was recorded: spans, traces, lineage, conversations and reports."""
