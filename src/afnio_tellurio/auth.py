"""Where the API key is found and kept."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from afnio_tellurio.notices import logger
from afnio_tellurio.settings import Settings, read_settings

if TYPE_CHECKING:
    from types import ModuleType


def find_api_key(url: str, settings: Settings | None = None) -> str | None:
    """The key for the backend at `url`: the environment's, else the one that a login stored."""
    settings = settings or read_settings(url)
    return settings.api_key or stored_api_key(url, settings)


def stored_api_key(url: str, settings: Settings) -> str | None:
    """The key that a login stored for the backend at `url`."""
    keyring = _usable_keyring()
    if keyring is None:
        return None
    try:
        found: str | None = keyring.get_password(settings.keyring_service, url)
    except keyring.errors.KeyringError as error:
        logger.info("the system keyring could not be read: %s", error)
        return None
    return found


def store_api_key(url: str, api_key: str, settings: Settings) -> bool:
    """Keeps the key for the backend at `url`; says whether it is kept."""
    keyring = _usable_keyring()
    if keyring is None:
        return False
    try:
        keyring.set_password(settings.keyring_service, url, api_key)
    except keyring.errors.KeyringError as error:
        logger.info("the system keyring could not be written: %s", error)
        return False
    return True


def _usable_keyring() -> ModuleType | None:
    """The `keyring` library where it is installed and has a real place to keep a secret."""
    if importlib.util.find_spec("keyring") is None:
        return None
    import keyring
    import keyring.errors  # pyright: ignore[reportUnusedImport] - its users say keyring.errors

    unusable = {"keyring.backends.fail", "keyring.backends.null"}
    return None if type(keyring.get_keyring()).__module__ in unusable else keyring
