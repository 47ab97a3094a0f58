"""How Sphinx builds the site; see scripts/docs.sh."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
# The sources beside this file, whatever is installed.
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "generated")]

from afnio_tellurio import __version__ as release  # noqa: E402

project = "afnio-tellurio"
author = "The afnio-tellurio developers"
project_copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
# Headings get anchors, so that pages can link to sections.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# The frameworks of integrations, which are not installed here.
autodoc_mock_imports = ["dspy", "keras", "pytorch_lightning", "transformers", "xgboost"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Google style; attributes are documented with their class.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"afnio-tellurio {release}"
# The HTTP API, a page of its own that scripts/regen.sh writes.
html_extra_path = ["api.html"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# Nothing is loaded from elsewhere: no fonts, no scripts, no icons.
html_theme_options = {"footer_icons": []}
pygments_style = "default"
pygments_dark_style = "monokai"
# Of `console` blocks, only the commands are a program.
suppress_warnings = ["misc.highlighting_failure"]


def _as_literals(_app: Sphinx, *arguments: list[str]) -> None:
    """Turns the backticks of docstrings, which are Markdown's, into those of reStructuredText."""
    lines = arguments[-1]
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", "\n".join(lines))
    lines[:] = text.split("\n")


def setup(app: Sphinx) -> None:
    """Connects what this file adds to Sphinx."""
    # Before napoleon, which has priority 500.
    app.connect("autodoc-process-docstring", _as_literals, priority=400)
