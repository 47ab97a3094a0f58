"""Has PyInstaller collect what it does not find: data files and lazily imported modules."""

from importlib.util import find_spec

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

_PACKAGES = ("afnio_tellurio", "tellurio_api")
#: slugify imports the second or the third one, for names in other scripts.
_LAZY_IMPORTS = ("plotext", "text_unidecode", "unidecode")
_INTEGRATIONS = "afnio_tellurio.integrations."


def _is_ours(module: str) -> bool:
    """Whether a module imports no framework. A program that uses one imports its integration."""
    return not module.startswith(_INTEGRATIONS) or module.startswith(f"{_INTEGRATIONS}afnio")


datas = [entry for package in _PACKAGES for entry in collect_data_files(package)]
hiddenimports = [
    module for package in _PACKAGES for module in collect_submodules(package, _is_ours)
]
hiddenimports += [module for module in _LAZY_IMPORTS if find_spec(module)]
