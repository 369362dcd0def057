"""An image in the layout of the Open Container Initiative, in one tar: layers, configuration,
manifest and index, each by its SHA-256 (image-spec 1.1)."""

from __future__ import annotations

import gzip
import hashlib
import io
import platform
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from noria.errors import ConfigError

__all__ = ["Image", "Layer"]

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_EPOCH = "1970-01-01T00:00:00Z"


class Layer:
    """The files of a layer. All times are 0, and all belongs to root, so that the same files make
    the same layer."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._known: set[str] = set()

    def add(self, name: str, path: Path) -> None:
        """Add a file by its name in the image, with what it holds and whether it may be run. A link
        is followed."""
        self._folders(name)
        told = tarfile.TarInfo(name)
        with path.open("rb") as file:
            told.size = path.stat().st_size
            told.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            self._archive.addfile(told, file)

    def text(self, name: str, text: str) -> None:
        """Add a file with a text."""
        self._folders(name)
        data = text.encode()
        told = tarfile.TarInfo(name)
        told.size, told.mode = len(data), 0o644
        self._archive.addfile(told, io.BytesIO(data))

    def folder(self, name: str, *, mode: int = 0o755, owner: int = 0) -> None:
        """Add a folder of an owner's."""
        self._folders(name)
        self._known.add(name)
        told = tarfile.TarInfo(name)
        told.type, told.mode, told.uid, told.gid = tarfile.DIRTYPE, mode, owner, owner
        self._archive.addfile(told)

    def _folders(self, name: str) -> None:
        for parent in [str(one) for one in reversed(Path(name).parents)][1:]:
            if parent not in self._known:
                self._known.add(parent)
                told = tarfile.TarInfo(parent)
                told.type, told.mode = tarfile.DIRTYPE, 0o755
                self._archive.addfile(told)


class Image:
    """An image that is being made."""

    def __init__(self) -> None:
        machine = platform.machine()
        self._config: dict[str, Any] = {
            "architecture": _MACHINES.get(machine, machine),
            "os": "linux",
            "created": _EPOCH,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": []},
            "history": [],
        }
        self._layers: list[dict[str, Any]] = []
        self._blobs: dict[str, bytes] = {}

    @classmethod
    def read(cls, path: Path) -> Image:
        """Begin with the layers of an image in a tar of the OCI layout.

        Raises:
            ConfigError: the file holds no such image, or a blob is not what its digest says.
        """
        made = cls()
        try:
            with tarfile.open(path) as archive:
                manifest = orjson.loads(_member(archive, "index.json"))["manifests"][0]
                told = orjson.loads(_blob(archive, manifest["digest"]))
                while told.get("mediaType") == _INDEX or "manifests" in told:
                    told = orjson.loads(_blob(archive, _for_this(told["manifests"])["digest"]))
                made._config = orjson.loads(_blob(archive, told["config"]["digest"]))
                for layer in told["layers"]:
                    made._layers.append(layer)
                    made._blobs[layer["digest"]] = _blob(archive, layer["digest"])
        except (OSError, tarfile.TarError, KeyError, IndexError, ValueError) as unusable:
            raise ConfigError(
                f"{path} is no image in the OCI layout: {unusable}",
                "Make one with: skopeo copy docker://python:3.12-slim oci-archive:base.tar",
            ) from None
        return made

    @contextmanager
    def layer(self, what: str) -> Iterator[Layer]:
        """Add a layer with what the block adds to it."""
        with tempfile.TemporaryFile() as plain:
            with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
                yield Layer(archive)
            plain.seek(0)
            held, packed = hashlib.sha256(), io.BytesIO()
            with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0) as zipped:
                while data := plain.read(1 << 20):
                    held.update(data)
                    zipped.write(data)
        data = packed.getvalue()
        self._layers.append({"mediaType": _LAYER, "digest": self._keep(data), "size": len(data)})
        self._config["rootfs"]["diff_ids"].append(f"sha256:{held.hexdigest()}")
        self._config.setdefault("history", []).append({"created": _EPOCH, "created_by": what})

    def configure(
        self,
        *,
        user: str,
        directory: str,
        entrypoint: Sequence[str],
        command: Sequence[str],
        environment: Mapping[str, str],
        labels: Mapping[str, str],
        port: int,
    ) -> None:
        """Say how it is run. The environment is laid over that of its base."""
        config = self._config.setdefault("config", {})
        known = dict(one.split("=", 1) for one in config.get("Env") or ())
        config.update(
            User=user,
            WorkingDir=directory,
            Entrypoint=list(entrypoint),
            Cmd=list(command),
            Env=[f"{name}={value}" for name, value in (known | dict(environment)).items()],
            Labels={**(config.get("Labels") or {}), **labels},
            ExposedPorts={f"{port}/tcp": {}},
        )

    def write(self, file: Path, name: str) -> str:
        """Write it.

        Args:
            file: the tar.
            name: what it is called, with a tag.

        Returns: the digest of its manifest.
        """
        config = orjson.dumps(self._config)
        manifest = orjson.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": {
                    "mediaType": _CONFIG, "digest": self._keep(config), "size": len(config)
                },
                "layers": self._layers,
            }
        )  # fmt: skip
        digest = self._keep(manifest)
        index = orjson.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _INDEX,
                "manifests": [
                    {
                        "mediaType": _MANIFEST, "digest": digest, "size": len(manifest),
                        "annotations": {
                            # Both readers: docker's by the full name, others by the tag.
                            "io.containerd.image.name": f"docker.io/{name}",
                            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                        },
                    }
                ],
            }
        )  # fmt: skip
        fresh = file.with_name(f"{file.name}.new")
        with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as archive:
            layer = Layer(archive)
            layer.text("oci-layout", '{"imageLayoutVersion": "1.0.0"}')
            for kept, data in self._blobs.items():
                _add(archive, f"blobs/sha256/{kept.removeprefix('sha256:')}", data)
            _add(archive, "index.json", index)
        fresh.replace(file)
        return digest

    def _keep(self, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._blobs[digest] = data
        return digest


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    told = tarfile.TarInfo(name)
    told.size, told.mode = len(data), 0o644
    archive.addfile(told, io.BytesIO(data))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = archive.extractfile(f"./{name}")
    if file is None:
        raise ValueError(f"{name} is no file")
    return file.read()


def _blob(archive: tarfile.TarFile, digest: str) -> bytes:
    kind, _, value = digest.partition(":")
    data = _member(archive, f"blobs/{kind}/{value}")
    if kind != "sha256" or hashlib.sha256(data).hexdigest() != value:
        raise ValueError(f"the blob {digest} is damaged")
    return data


def _for_this(manifests: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The manifest of this machine's architecture."""
    wanted = _MACHINES.get(platform.machine(), platform.machine())
    for one in manifests:
        if (one.get("platform") or {}).get("architecture", wanted) == wanted:
            return one
    raise ValueError(f"it has no image for {wanted}")
