"""Writes afnio-tellurio.cdx.json: what the wheel contains that others wrote, as CycloneDX.

    scripts/sbom.py            writes it
    scripts/sbom.py --check    writes nothing; fails if it is out of date

The wheel carries it in its .dist-info/sboms (PEP 770). What the wheel requires is in its metadata.
"""

# The decorators of the library hide the parameters of its classes.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

import afnio_tellurio

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "afnio-tellurio.cdx.json"
LOCK = ROOT / "openapi" / "package-lock.json"
SOURCES = ROOT / "src"
VENDOR = SOURCES / "afnio_tellurio" / "backend" / "page" / "vendor"
#: The npm packages, and the vendored files that contain their code.
CONTENTS = {
    "uplot": "uPlot.iife.min.js",
    "htm": "preact.js",
    "preact": "preact.js",
    "fzstd": "fzstd.js",
    "hyparquet": "hyparquet/*.js",
}


def text() -> str:
    """The document, the same bytes each time."""
    version = afnio_tellurio.__version__
    ours = Component(
        name="afnio-tellurio",
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"pkg:pypi/afnio-tellurio@{version}",
        purl=PackageURL("pypi", name="afnio-tellurio", version=version),
        licenses=[LicenseFactory().make_from_string("Apache-2.0 AND MIT")],
    )
    packages = json.loads(LOCK.read_text("utf-8"))["packages"]
    parts = [
        part(name, packages[f"node_modules/{name}"], sorted(VENDOR.glob(files)))
        for name, files in CONTENTS.items()
    ]
    bom = Bom(
        components=parts,
        serial_number=uuid5(NAMESPACE_URL, str(ours.purl)),
        metadata=BomMetaData(component=ours),
    )
    bom.register_dependency(ours, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # A build of the same sources writes the same bytes.
    del document["metadata"]["timestamp"]
    return f"{json.dumps(document, indent=1)}\n"


def part(name: str, locked: dict[str, Any], files: list[Path]) -> Component:
    """The component of an npm package, with the vendored files that contain it."""
    integrity = base64.b64decode(locked["integrity"].removeprefix("sha512-")).hex()
    purl = PackageURL("npm", name=name, version=locked["version"])
    return Component(
        name=name,
        version=locked["version"],
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        licenses=[LicenseFactory().make_from_string(locked["license"])],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(f"https://registry.npmjs.org/{name}/-/{name}-{locked['version']}.tgz"),
                hashes=[HashType(alg=HashAlgorithm.SHA_512, content=integrity)],
            )
        ],
        components=[part_file(purl, file) for file in files],
    )


def part_file(purl: PackageURL, file: Path) -> Component:
    path = file.relative_to(SOURCES).as_posix()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Component(
        name=path,
        type=ComponentType.FILE,
        bom_ref=f"{purl}#{path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    if not parser.parse_args().check:
        SBOM.write_text(text(), "utf-8", newline="\n")
    elif not SBOM.exists() or SBOM.read_text("utf-8") != text():
        sys.exit(f"sbom: {SBOM.name} is out of date; run scripts/sbom.py and commit it")


if __name__ == "__main__":
    main()
