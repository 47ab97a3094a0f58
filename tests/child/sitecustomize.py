"""Runs first in every child process of a test, and checks its HTTP exchanges too.

httpx is patched only when the program imports it: whether the program imports it is itself under
test. Every child pays for the imports here, so there are only os and sys.
"""

import os
import sys

_TESTS = __file__.rpartition("child")[0]


class _CheckExchanges:
    """A finder for httpx alone, which the other finders load."""

    def find_spec(self, name, path=None, target=None):
        if name != "httpx":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return _checked(spec)
        return None


def _checked(spec):
    """Has the module checked as soon as it is loaded."""
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
        sys.path.append(_TESTS)
        import exchanges

        exchanges.install()

    spec.loader.exec_module = exec_module
    return spec


sys.meta_path.insert(0, _CheckExchanges())
if "COVERAGE_PROCESS_CONFIG" in os.environ:
    sys.path.append(_TESTS)
    import measuring

    sys.path.remove(_TESTS)
    measuring.start()
