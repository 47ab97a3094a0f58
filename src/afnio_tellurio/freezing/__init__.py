"""What PyInstaller needs to freeze programs that use this package."""

from pathlib import Path


def hook_folders() -> list[str]:
    """Returns the folder of the hook; the entry point `pyinstaller40` names this function."""
    # Not a package: whatever imports all our modules must not import the hook.
    return [str(Path(__file__).parent / "hooks")]
