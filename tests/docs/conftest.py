"""What a failing comparison shows is the difference, also where a helper compares."""

import pytest

pytest.register_assert_rewrite("code_blocks")
