"""Who answers: targets, prices, weights, and the engine behind the local models."""
