"""The catalogues that come with noria."""

from __future__ import annotations

from functools import cache

from noria.actions.catalogue.catalogue import Part
from noria.actions.catalogue.ec2 import OPERATIONS, read_offers

__all__ = ["SHIPPED_NAMES", "shipped_parts"]

SHIPPED_NAMES = ("ec2", "sim")


def shipped_parts() -> list[Part]:
    """What is there in every home."""
    return [_ec2(), _sim()]


@cache
def _ec2() -> Part:
    return Part.of("ec2", OPERATIONS, read_offers())


@cache
def _sim() -> Part:
    from noria.actions.providers.sim import catalogue

    return Part.of("sim", catalogue.OPERATIONS, catalogue.OFFERS)
