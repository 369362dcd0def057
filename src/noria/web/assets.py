"""Style sheet, scripts and drawings: read once, named by their content, kept by the browser."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["STATIC", "Assets"]

STATIC = Path(__file__).parent / "static"
_SERVED = {".css", ".js", ".svg"}


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    packed: bytes
    media: str
    digest: str


class Assets:
    """The static files. `url` gives an address that changes with the file, so that the answer
    may be kept for ever; under its plain address a file is checked by ETag."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._files = {
            str(path.relative_to(folder)): _read(path)
            for path in sorted(folder.rglob("*"))
            if path.suffix in _SERVED
        }

    def url(self, name: str) -> str:
        """The address of a file, with the digest of its content."""
        return f"/static/{name}?v={self._files[name].digest}"

    async def serve(self, request: Request) -> Response:
        """Answer a request for a file."""
        asset = self._files.get(request.path_params["path"])
        if asset is None:
            raise HTTPException(404, "There is no such file.")
        fixed = request.query_params.get("v") == asset.digest
        headers = {
            "ETag": f'"{asset.digest}"',
            "Cache-Control": "public, max-age=31536000, immutable" if fixed else "no-cache",
            "Vary": "Accept-Encoding",
        }
        if f'"{asset.digest}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(asset.packed, headers=headers, media_type=asset.media)
        return Response(asset.body, headers=headers, media_type=asset.media)


def _read(path: Path) -> _Asset:
    body = path.read_bytes()
    return _Asset(
        body,
        gzip.compress(body, 9, mtime=0),
        mimetypes.types_map[path.suffix],
        hashlib.sha256(body).hexdigest()[:16],
    )
