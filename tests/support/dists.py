"""Distribution files, built in memory, as build backends make them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile


def metadata(name: str, version: str, *headers: str, body: str = "") -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers]
    return ("\n".join(lines) + "\n\n" + body).encode()


def wheel_name(name: str, version: str, tag: str = "py3-none-any") -> str:
    return f"{name.replace('-', '_')}-{version}-{tag}.whl"


def wheel(
    name: str = "demo",
    version: str = "1.0",
    *headers: str,
    core: bytes | None = None,
    files: dict[str, bytes] | None = None,
    requires_python: str | None = ">=3.8",
    summary: str = "A demo",
) -> bytes:
    """A wheel that installers take; equal arguments give equal bytes."""
    stem = f"{name.replace('-', '_')}-{version}"
    if core is None:
        extra = [f"Summary: {summary}"]
        if requires_python:
            extra.append(f"Requires-Python: {requires_python}")
        core = metadata(name, version, *extra, *headers)
    module = name.replace("-", "_").replace(".", "_").lower()
    members = {
        f"{module}/__init__.py": f"__version__ = {version!r}\n".encode(),
        **(files or {}),
        f"{stem}.dist-info/METADATA": core,
        f"{stem}.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "".join(
        f"{path},sha256={record_hash(content)},{len(content)}\n"
        for path, content in members.items()
    )
    record_name = f"{stem}.dist-info/RECORD"
    members[record_name] = f"{record}{record_name},,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members.items():
            info = zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def record_hash(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def sdist(
    name: str = "demo",
    version: str = "1.0",
    *headers: str,
    core: bytes | None = None,
    folder: str | None = None,
    requires_python: str | None = ">=3.8",
) -> bytes:
    """A .tar.gz that pip can build, with setuptools as its backend."""
    stem = folder or f"{name.replace('-', '_')}-{version}"
    if core is None:
        extra = [f"Requires-Python: {requires_python}"] if requires_python else []
        core = metadata(name, version, "Summary: A demo", *extra, *headers)
    module = name.replace("-", "_").replace(".", "_").lower()
    members = {
        f"{stem}/PKG-INFO": core,
        f"{stem}/pyproject.toml": (
            b'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        ),
        f"{stem}/setup.cfg": (
            f"[metadata]\nname = {name}\nversion = {version}\n[options]\npackages = {module}\n"
        ).encode(),
        f"{stem}/{module}/__init__.py": f"__version__ = {version!r}\n".encode(),
    }
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            info.mtime = 1704067200
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
