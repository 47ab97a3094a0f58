"""Runs first in every child process of a test, and checks its HTTP exchanges too.

httpx is patched only when the program imports it: whether the program imports it is itself under
test.
"""

import importlib.abc
import importlib.util
import sys
from pathlib import Path


class _CheckExchanges(importlib.abc.MetaPathFinder):
    def find_spec(self, name, _path=None, _target=None):
        if name != "httpx":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("httpx")
        load = spec.loader.exec_module

        def exec_module(module):
            # If click is installed, httpx imports a command line that takes longer than all the rest.
            is_imported = "click" in sys.modules
            if not is_imported:
                sys.modules["click"] = None
            try:
                load(module)
            finally:
                if not is_imported:
                    del sys.modules["click"]
            sys.path.append(str(Path(__file__).parent.parent))
            import exchanges

            exchanges.install()

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _CheckExchanges())
