"""Compares the version of a backend's contract with the one that this SDK was made for."""

from __future__ import annotations

import re

from afnio_tellurio.notices import warn_once
from afnio_tellurio.settings.limits import CONTRACT_VERSION

_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})(?:\.[0-9]{1,9})?")


def check_contract_version(url: str, version: str) -> None:
    """Warns, once, if the first two numbers of a backend's version are not those of this SDK.

    Args:
        url: The URL of the backend.
        version: What the backend answered; nothing is compared if it is not a version.
    """
    theirs, ours = _VERSION.fullmatch(version), _VERSION.fullmatch(CONTRACT_VERSION)
    if theirs is None or ours is None:
        return
    their_numbers, our_numbers = _numbers(theirs), _numbers(ours)
    this = f"this afnio-tellurio was made for version {CONTRACT_VERSION}"
    if their_numbers > our_numbers:
        warn_once(
            f"{url} has version {version} of the API, and {this}: upgrade afnio-tellurio to use "
            "all of it"
        )
    elif their_numbers < our_numbers:
        warn_once(
            f"{url} has version {version} of the API, and {this}: what was added since may be "
            "missing; upgrade the backend"
        )


def _numbers(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2])
