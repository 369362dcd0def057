"""What an image of our own needs: Python with its libraries, and the packages of the pins."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import orjson

from noria.errors import NoriaError
from noria.infra.deploying.revision import Revision, normal

__all__ = ["Package", "packages_of", "python_files", "sbom_of"]

_NEEDED = re.compile(r"(?:=> )?(/\S+) \(0x")
_UNUSED = {"__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip",
           "lib2to3", "site-packages", "dist-packages"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution that goes into the image."""

    name: str
    version: str
    license: str
    files: tuple[tuple[str, Path], ...]
    """Each by its name under site-packages."""


def python_files(packages: Sequence[Package]) -> Iterator[tuple[str, Path]]:
    """Give the files of this Python and of the shared libraries that it, its modules and packages
    load, each by its name in the image."""
    binary = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    prefix = Path(sys.base_prefix)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    loaded = [binary]
    yield "usr/local/bin/python3", binary
    for path in sorted(library.rglob("*")):
        inside = path.relative_to(library)
        if not path.is_file() or _UNUSED & set(inside.parts):
            continue
        if path.suffix == ".so":
            loaded.append(path)
        if path.suffix == ".a":
            continue
        yield f"usr/local/lib/{version}/{inside}", path
    loaded += sorted(prefix.glob("lib/libpython*.so*"))
    for package in packages:
        loaded += [path for _, path in package.files if ".so" in path.suffixes]
    site = Path(sysconfig.get_path("platlib")).resolve()
    for name, path in _libraries(loaded):
        # What a package brings along stands beside it.
        if not path.resolve().is_relative_to(site):
            yield name, path


def packages_of(revision: Revision) -> list[Package]:
    """Find the packages of a revision's pins and all that they need, as they are installed here.

    Raises:
        NoriaError: one is not installed here in the version that is pinned.
    """
    wanted = [(normal(name), version) for name, version in revision.parts["pins"].items()
              if name != "python"]  # fmt: skip
    found: dict[str, Package] = {}
    while wanted:
        name, version = wanted.pop()
        if name in found:
            continue
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if version == "optional":
                continue
            raise NoriaError(
                f"The image needs {name}{version}, which is not installed here.",
                f"Install it: pip install '{name}{version}'",
            ) from None
        pinned = version.removeprefix("==")
        if pinned[:1].isdigit() and pinned != installed.version:
            raise NoriaError(
                f"The image needs {name} {pinned}, and {installed.version} is installed here.",
                f"Install it: pip install '{name}=={pinned}'",
            )
        found[name] = _package(name, installed)
        wanted += [(one, "optional") for one in _requirements(installed)]
    return [found[name] for name in sorted(found)]


def sbom_of(revision: Revision, packages: list[Package]) -> str:
    """Write what the image consists of, in CycloneDX 1.6."""
    components = [
        {
            "type": "library",
            "name": one.name,
            "version": one.version,
            "purl": f"pkg:pypi/{one.name}@{one.version}",
            "bom-ref": f"pkg:pypi/{one.name}@{one.version}",
            **({"licenses": [{"license": {"name": one.license}}]} if one.license else {}),
        }
        for one in packages
    ]
    told = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # Of the revision, so that the same release is the same to the byte.
        "serialNumber": f"urn:uuid:{uuid.UUID(revision.digest[:32])}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application", "name": revision.apps[0], "version": revision.id,
                "bom-ref": revision.digest,
            }
        },
        "components": [
            {"type": "platform", "name": "python", "version": revision.parts["pins"]["python"],
             "bom-ref": "python"},
            *components,
        ],
    }  # fmt: skip
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode()


def _package(name: str, installed: metadata.Distribution) -> Package:
    files = []
    for listed in installed.files or ():
        path = Path(str(installed.locate_file(listed))).resolve()
        # What lies outside (scripts, data of the prefix) is of this machine.
        if ".." in listed.parts or path.suffix == ".pyc" or not path.is_file():
            continue
        if path.suffix != ".pth":
            files.append((str(listed), path))
    if normal(name) == "noria" and not any(one[0].startswith("noria/") for one in files):
        # Installed in place, for development: its files are where it is imported from.
        root = Path(__file__).parents[3]
        files += [
            (f"noria/{path.relative_to(root)}", path)
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.suffix != ".pyc"
        ]
    told = dict(installed.metadata.items())  # type: ignore[attr-defined]  # it is a Message
    first = str(told.get("License") or "").partition("\n")[0]
    named = str(told.get("License-Expression") or first)
    return Package(name, installed.version, named[:80], tuple(sorted(files)))


def _requirements(installed: metadata.Distribution) -> Iterator[str]:
    """What a distribution needs here, without its extras."""
    for line in installed.requires or ():
        name = re.split(r"[\s\[=<>!~;(]", line, maxsplit=1)[0]
        if "extra ==" not in line:
            yield normal(name)


def _libraries(loaded: list[Path]) -> Iterator[tuple[str, Path]]:
    """The shared libraries that files load, and the loader, each at its own place."""
    said = subprocess.run(
        ["ldd", *map(str, loaded)], capture_output=True, text=True, check=False
    ).stdout
    seen = set(_NEEDED.findall(said))
    for name in sorted(seen):
        path = Path(name)
        if path.is_file():
            yield name.lstrip("/"), path
