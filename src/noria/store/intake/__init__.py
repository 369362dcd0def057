"""Journal ingestion: every record becomes rows, exactly once."""
