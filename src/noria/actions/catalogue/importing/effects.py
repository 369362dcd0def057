"""What an operation does to the world, by its method and its name."""

from __future__ import annotations

import re

from noria.actions.operation import Effect

__all__ = ["OPPOSITES", "effect_of_method", "effect_of_name", "words_of"]

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_ORDER = list(Effect)

_VERBS = {
    Effect.READ: "check compute convert count describe diff estimate export fetch find get head "
    "help info inspect list log logs lookup ls parse ping preview print query read render search "
    "show status summarize test validate verify version view whoami",
    Effect.CREATE: "acquire add allocate attach build buy clone copy create deploy fork generate "
    "import init insert install invite issue launch make mint new open order post provision "
    "publish register request reserve run schedule send spawn start submit upload",
    Effect.DESTROY: "cancel clear close deallocate delete deprovision deregister destroy detach "
    "drop end erase expire flush kill purge release remove reset revoke rm shutdown stop terminate "
    "truncate unassign uninstall unlink unpublish unregister wipe",
}
_EFFECT = {verb: effect for effect, verbs in _VERBS.items() for verb in verbs.split()}

OPPOSITES = {
    "create": ("delete", "destroy", "remove"),
    "make": ("remove", "delete"),
    "add": ("remove", "delete"),
    "insert": ("delete", "remove"),
    "new": ("delete", "remove"),
    "run": ("terminate", "stop", "rm", "remove"),
    "launch": ("terminate", "stop"),
    "start": ("stop", "terminate", "end"),
    "attach": ("detach",),
    "enable": ("disable",),
    "disable": ("enable",),
    "allocate": ("release", "deallocate"),
    "acquire": ("release",),
    "reserve": ("release", "cancel"),
    "register": ("deregister", "unregister"),
    "install": ("uninstall", "remove"),
    "publish": ("unpublish",),
    "assign": ("unassign",),
    "lock": ("unlock",),
    "grant": ("revoke",),
    "issue": ("revoke",),
    "open": ("close",),
    "provision": ("deprovision", "destroy"),
    "subscribe": ("unsubscribe",),
    "schedule": ("cancel",),
    "link": ("unlink",),
    "mount": ("unmount", "umount"),
}
"""A verb, and the verbs that take back what it did, the likeliest first."""


def words_of(name: str) -> list[str]:
    """The words of a name in any of the usual writings, in lower case."""
    return [word.lower() for word in _CAMEL.split(name) if word]


def effect_of_name(name: str, *, unknown: Effect = Effect.CHANGE) -> Effect:
    """What a name says: that of its gravest verb at its beginning or end.

    Args:
        name: of the operation.
        unknown: where it has no verb that is known.
    """
    words = words_of(name)
    if not words:
        return unknown
    said = [_EFFECT[word] for word in (words[0], words[-1]) if word in _EFFECT]
    if words[0] in _EFFECT and _EFFECT[words[0]] is Effect.READ:
        return Effect.READ
    return max(said, key=_ORDER.index) if said else unknown


def effect_of_method(method: str, name: str) -> Effect:
    """What a method of HTTP does. A name can make it graver and never milder, since whoever wrote
    the document may have wanted it to look harmless."""
    by_method = {
        "get": Effect.READ,
        "head": Effect.READ,
        "options": Effect.READ,
        "trace": Effect.READ,
        "post": Effect.CREATE,
        "put": Effect.CHANGE,
        "patch": Effect.CHANGE,
        "delete": Effect.DESTROY,
    }[method]
    words = words_of(name)
    named = next((_EFFECT[word] for word in words[:1] if word in _EFFECT), by_method)
    if named is Effect.DESTROY:
        return named
    if by_method is Effect.READ and named is not Effect.READ and words:
        return named
    return by_method
