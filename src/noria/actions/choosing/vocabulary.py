"""The names that offers know: regions, instance types, accelerators, providers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from noria.actions.operation import Offer

__all__ = ["PROVIDERS", "Vocabulary"]

PROVIDERS = {
    "aws": "ec2", "amazon": "ec2", "ec2": "ec2", "gcp": "gcp", "google": "gcp", "azure": "azure",
    "microsoft": "azure", "lambda": "lambda", "runpod": "runpod", "coreweave": "coreweave",
    "oracle": "oci", "oci": "oci", "vast": "vast", "paperspace": "paperspace",
    "digitalocean": "digitalocean", "hetzner": "hetzner", "nebius": "nebius", "crusoe": "crusoe",
    "simulator": "sim", "sim": "sim",
}  # fmt: skip
"""What people call a provider, and its name in the offers. One without offers is refused."""
_MAKERS = ("nvidia-", "amd-", "intel-", "tesla-", "google-", "aws-")
_NEAR = 72.0
"""From which likeness on (rapidfuzz's ratio, 0 to 100) a name is offered for another."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names of offers, in small letters, each with how the offers write it."""

    regions: dict[str, str]
    types: dict[str, str]
    accelerators: dict[str, str]
    families: dict[str, frozenset[str]]
    """The first part of a type's name -> the types of that family: `p4d` -> `p4d.24xlarge`."""
    providers: frozenset[str]

    @classmethod
    def of(cls, offers: Iterable[Offer]) -> Vocabulary:
        """The names that these offers know."""
        regions: dict[str, str] = {}
        types: dict[str, str] = {}
        accelerators: dict[str, str] = {}
        providers = set()
        for offer in offers:
            regions[offer.region.lower()] = offer.region
            types[offer.instance_type.lower()] = offer.instance_type
            providers.add(offer.provider)
            if offer.accelerator:
                low = "-".join(offer.accelerator.lower().split())
                accelerators[low] = offer.accelerator
                for maker in _MAKERS:
                    accelerators.setdefault(low.removeprefix(maker), offer.accelerator)
        families: dict[str, set[str]] = {}
        for low, written in types.items():
            if "." in low:
                families.setdefault(low.partition(".")[0], set()).add(written)
        whole = {name: frozenset(members) for name, members in families.items()}
        return cls(regions, types, accelerators, whole, frozenset(providers))

    @property
    def names(self) -> frozenset[str]:
        """Every name, in small letters."""
        known = self.regions.keys() | self.types.keys() | self.accelerators.keys()
        return frozenset(known | self.families.keys())

    def accelerator(self, low: str) -> str | None:
        """The accelerator that a word names, in one or in many: `a100`, `a100s`, `nvidia-a100`."""
        for form in (low, low.removesuffix("s"), low.removesuffix("'s")):
            for maker in ("", *_MAKERS):
                if found := self.accelerators.get(form.removeprefix(maker)):
                    return found
        return None

    def near(self, low: str, kind: str, limit: int = 3) -> list[str]:
        """Names of a kind that are written almost as a word is, the nearest first.

        Args:
            low: the word, in small letters.
            kind: `regions`, `types` or `accelerators`.
            limit: the most names.
        """
        from rapidfuzz import fuzz, process

        known: dict[str, str] = getattr(self, kind)
        found = process.extract(low, known.keys(), scorer=fuzz.ratio, limit=limit * 2)
        names = [known[name] for name, score, _ in found if score >= _NEAR]
        return list(dict.fromkeys(names))[:limit]
