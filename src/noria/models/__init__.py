"""Who answers: targets, prices, weights, and the engine behind the local models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.models.catalogue import (
        Capabilities,
        Catalogue,
        EngineDirectory,
        Route,
        Target,
        Upstream,
    )
    from noria.models.chunks import assemble
    from noria.models.endpoint import Endpoint
    from noria.models.prices import ComputePrice, Price, TokenPrice
    from noria.models.providers import AddedProvider
    from noria.models.wire import usage_of

_NAMES_OF = {
    "endpoint": "Endpoint",
    "catalogue": "Capabilities Catalogue EngineDirectory Route Target Upstream",
    "chunks": "assemble",
    "prices": "ComputePrice Price TokenPrice",
    "providers": "AddedProvider",
    "wire": "usage_of",
}

__all__ = [
    "AddedProvider",
    "Capabilities",
    "Catalogue",
    "ComputePrice",
    "Endpoint",
    "EngineDirectory",
    "Price",
    "Route",
    "Target",
    "TokenPrice",
    "Upstream",
    "assemble",
    "usage_of",
]

__getattr__ = load_on_use(__name__, _NAMES_OF)
