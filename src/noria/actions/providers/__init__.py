"""Those who carry out calls: a simulator, and Amazon EC2."""
