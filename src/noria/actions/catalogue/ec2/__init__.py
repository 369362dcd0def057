"""Amazon EC2: what it can do with machines; its accelerated types with dated prices."""

from __future__ import annotations

from noria.actions.catalogue.ec2.offers import read_offers
from noria.actions.catalogue.ec2.operations import OPERATIONS

__all__ = ["OPERATIONS", "read_offers"]
