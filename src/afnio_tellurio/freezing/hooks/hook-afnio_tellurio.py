"""Has PyInstaller collect what it does not find: data files and lazily imported modules."""

from importlib.util import find_spec

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

_PACKAGES = ("afnio_tellurio", "tellurio_api")
#: slugify imports the second or the third one, for names in other scripts.
_LAZY_IMPORTS = ("plotext", "text_unidecode", "unidecode")

datas = [entry for package in _PACKAGES for entry in collect_data_files(package)]
hiddenimports = [module for package in _PACKAGES for module in collect_submodules(package)]
hiddenimports += [module for module in _LAZY_IMPORTS if find_spec(module)]
