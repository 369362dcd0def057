"""What a load needs, computed from what was measured."""
