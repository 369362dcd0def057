"""Who answers: targets, prices, weights, and the engine behind the local models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noria.models.catalogue import (
        Capabilities,
        Catalogue,
        EngineDirectory,
        Route,
        Target,
        Upstream,
    )
    from noria.models.prices import ComputePrice, Price, TokenPrice
    from noria.models.wire import assemble, usage_of

_HOMES = {
    "catalogue": "Capabilities Catalogue EngineDirectory Route Target Upstream",
    "prices": "ComputePrice Price TokenPrice",
    "wire": "assemble usage_of",
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Capabilities",
    "Catalogue",
    "ComputePrice",
    "EngineDirectory",
    "Price",
    "Route",
    "Target",
    "TokenPrice",
    "Upstream",
    "assemble",
    "usage_of",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
