"""Plans as they are kept, judged by the policy, and signed."""
