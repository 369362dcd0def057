"""The one door for what others add: providers, vector stores, checks, loaders, toolkits,
executors.

A package says where its plugin is, in the group `noria.plugins` of its entry points:

    [project.entry-points."noria.plugins"]
    acme = "acme_noria"

A plugin is a module or an object with a function `register(registry)`, which puts things on the
registry's shelves:

    def register(registry):
        registry.vector_stores.add("acme", AcmeStore)

What comes with noria is registered through the same door. Plugins are loaded when something is
first looked for. One that fails takes nothing else down: what it had added is dropped, and its name
and its error stand in `registry.broken` and in the message about whatever is then not found.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from noria.errors import ConfigError, NotFound

__all__ = ["GROUP", "PluginRegistry", "Registry", "load_plugins", "registry"]

GROUP = "noria.plugins"
"""The group of entry points."""

T = TypeVar("T")


class PluginRegistry(Generic[T]):
    """Things of one kind, by name.

    Args:
        kind: what they are called in a message, such as "vector store".
        broken: why plugins could not be loaded, by their name.
    """

    def __init__(self, kind: str, broken: dict[str, str]) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}
        self._broken = broken

    def add(self, name: str, thing: T) -> None:
        """Put something on the shelf.

        Raises:
            ConfigError: the name is empty or taken.
        """
        if not isinstance(name, str) or not name:
            raise ConfigError(f"The name of a {self.kind} must be a text that is not empty.")
        if name in self._things:
            raise ConfigError(f"The {self.kind} {name!r} is there already.")
        self._things[name] = thing

    def find(self, name: str) -> T:
        """What has this name.

        Raises:
            NotFound: nothing has; the message lists what there is, and what could not be loaded.
        """
        if name in self._things:
            return self._things[name]
        known = ", ".join(sorted(self._things)) or "none"
        remedy = f"There is: {known}. Others are added by installing a plugin."
        for plugin, why in self._broken.items():
            remedy += f"\nThe plugin {plugin} could not be loaded: {why}"
        raise NotFound(f"There is no {self.kind} {name!r}.", remedy)

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)


class Registry:
    """Everything that was registered, and what could not be."""

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        """Why a plugin could not be loaded, by its name."""
        self.providers: PluginRegistry[Any] = PluginRegistry("provider", self.broken)
        self.vector_stores: PluginRegistry[Callable[..., Any]] = PluginRegistry(
            "vector store", self.broken
        )
        self.checks: PluginRegistry[Callable[..., Any]] = PluginRegistry("check", self.broken)
        self.loaders: PluginRegistry[Callable[..., Any]] = PluginRegistry("loader", self.broken)
        self.executors: PluginRegistry[Callable[[], Any]] = PluginRegistry("executor", self.broken)
        self.toolkits: PluginRegistry[Callable[..., Any]] = PluginRegistry("toolkit", self.broken)

    def merge(self, other: Registry) -> None:
        """Take over everything that another registry holds, or nothing.

        Raises:
            ConfigError: one of its names is taken.
        """
        pairs = list(zip(self._shelves(), other._shelves(), strict=True))
        for mine, others in pairs:
            for name in others:
                if name in mine:
                    raise ConfigError(f"There is another plugin for the {mine.kind} {name!r}.")
        for mine, others in pairs:
            for name in others:
                mine.add(name, others.find(name))

    def _shelves(self) -> tuple[PluginRegistry[Any], ...]:
        return (
            self.providers,
            self.vector_stores,
            self.checks,
            self.loaders,
            self.toolkits,
            self.executors,
        )


def load_plugins(points: Iterable[EntryPoint]) -> Registry:
    """Load plugins in the order of their names, noria's own first."""
    loaded = Registry()
    for point in sorted(points, key=lambda point: (point.name != "noria", point.name)):
        own = Registry()
        try:
            point.load().register(own)
            loaded.merge(own)
        except Exception as failure:  # noqa: BLE001 - a plugin may fail in any way
            loaded.broken[point.name] = f"{type(failure).__name__}: {failure}"
    return loaded


@functools.cache
def registry() -> Registry:
    """What all installed plugins have registered. They are loaded at the first call."""
    return load_plugins(entry_points(group=GROUP))
