"""What Acme adds to noria: its models, its vector store, and a check of good manners."""

from __future__ import annotations

import os

from noria.plugins import Registry

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Put everything on noria's shelves."""
    from acme_noria.manners import polite
    from acme_noria.vectors import AcmeVectors
    from noria.config import PriceOverride, Provider
    from noria.models import AddedProvider

    registry.providers.add(
        "acme",
        AddedProvider(
            Provider(
                base_url=os.environ.get("ACME_URL", "https://models.acme.example/v1"),
                api_key_env="ACME_API_KEY",
                prompt_allowance=0,
            ),
            prices={"big": PriceOverride(input=1000.0, output=2000.0)},
        ),
    )
    registry.vector_stores.add("acme", AcmeVectors)
    registry.checks.add("polite", polite)
