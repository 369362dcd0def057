"""Budgets, the leases that processes hold on them, and what was spent."""
