"""An image without a daemon: its digests hold, it is not root's, and can be built on."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from noria.config import Config, Target
from noria.errors import ConfigError
from noria.infra.deploying.release import Release
from noria.infra.deploying.revision import Revision
from noria.infra.deploying.targets.docker import build_image
from noria.infra.deploying.targets.image import Image
from noria.infra.deploying.wires import Wires


@pytest.fixture
def base(tmp_path: Path) -> Path:
    image = Image()
    with image.layer("base") as layer:
        layer.text("etc/os-release", "ID=test\n")
    image.configure(user="0", directory="/", entrypoint=["sh"], command=[], labels={}, port=1,
                    environment={"LANG": "C"})  # fmt: skip
    image.write(tmp_path / "base.tar", "base:1")
    return tmp_path / "base.tar"


def release(folder: Path, base: Path) -> Release:
    code = folder / "release"
    code.mkdir()
    (code / "app.py").write_text("app = 1\n")
    pins = {"python": "3.11", "orjson": "any"}
    revision = Revision("ab" * 32, "app.py", ("support",), {"pins": pins})
    target = Target(kind="docker", base=base)
    return Release(revision, "image", target, Wires({"NORIA_REVISION": revision.id}), code)


def test_an_image_is_what_its_digests_say_and_the_same_twice(tmp_path: Path, base: Path) -> None:
    one = release(tmp_path, base)
    digest = build_image(one, tmp_path / "a.tar")
    assert build_image(one, tmp_path / "b.tar") == digest
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:

        def blob(digest: str) -> bytes:
            file = archive.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
            assert file is not None
            data = file.read()
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
            return data

        manifest = json.loads(blob(digest))
        config = json.loads(blob(manifest["config"]["digest"]))
        layers = [gzip.decompress(blob(layer["digest"])) for layer in manifest["layers"]]
    held = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    assert config["rootfs"]["diff_ids"] == held
    assert len(layers) == 3  # of the base, packages, application
    assert config["config"]["User"] == "10001:10001"
    assert {"LANG=C", f"NORIA_REVISION={one.revision.id}"} <= set(config["config"]["Env"])
    assert b"pkg:pypi/orjson@" in layers[-1]
    assert b"orjson/__init__.py" in layers[1]


def test_a_base_that_is_damaged_is_refused(tmp_path: Path, base: Path) -> None:
    data = bytearray(base.read_bytes())
    data[1200] ^= 1
    (tmp_path / "bad.tar").write_bytes(data)
    with pytest.raises(ConfigError, match="OCI layout"):
        Image.read(tmp_path / "bad.tar")
    assert Config(home=tmp_path).targets == {}
