"""Makes failing comparisons in helpers show the difference too."""

import pytest

pytest.register_assert_rewrite("code_blocks")
