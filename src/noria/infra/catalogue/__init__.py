"""The catalogue of what a team's applications stand on: databases, stores, clusters, registries."""
