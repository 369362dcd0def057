"""A cloud that is simulated: deterministic, with the faults of real ones and a bill of its own."""
