"""The names, slugs and steps that `log` and `init` reject."""

import numpy as np
import pytest

from afnio_tellurio.validation import checked_name, checked_slug, checked_step, project_slug


@pytest.mark.parametrize("step", [0, 1, 2**63 - 1, np.int64(7), np.uint8(7)])
def test_a_step_is_an_integer_from_zero(step):
    checked = checked_step(step)
    assert checked == int(step)
    assert type(checked) is int


@pytest.mark.parametrize("step", [True, False, 1.0, 1.5, "1", np.float64(1), np.bool_(True)])  # noqa: FBT003
def test_a_step_that_is_no_integer_is_refused(step):
    with pytest.raises(
        TypeError, match=r"log: step is .*; it must be an integer, 0 or more, or None"
    ):
        checked_step(step)


@pytest.mark.parametrize("step", [-1, 2**63, 10**30])
def test_a_step_out_of_range_is_refused(step):
    with pytest.raises(ValueError, match=f"log: step is {step}; it must be from 0 to"):
        checked_step(step)


@pytest.mark.parametrize("name", ["", " ", "\n\t"])
def test_a_blank_name_is_refused(name):
    with pytest.raises(ValueError, match="log: metric name is empty"):
        checked_name("log", "metric name", name)


@pytest.mark.parametrize("name", [None, 3, b"loss"])
def test_a_name_that_is_no_string_is_refused(name):
    with pytest.raises(TypeError, match="log: metric name is .*; it must be a string"):
        checked_name("log", "metric name", name)


def test_a_name_of_255_characters_is_kept_and_a_longer_one_is_refused():
    assert checked_name("log", "metric name", "ä" * 255)
    with pytest.raises(ValueError, match="has 256 characters .* it may have up to 255"):
        checked_name("log", "metric name", "ä" * 256)


def test_half_of_a_surrogate_pair_in_a_name_is_refused():
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        checked_name("log", "metric name", "loss\udc80")


@pytest.mark.parametrize("slug", ["acme", "Acme_2", "a-b"])
def test_a_slug_is_letters_digits_dashes_and_underscores(slug):
    assert checked_slug("init", "namespace slug", slug) == slug


@pytest.mark.parametrize("slug", ["a b", "a/b", "ä", "..", "a\n"])
def test_a_slug_with_another_character_is_refused(slug):
    with pytest.raises(ValueError, match="init: namespace slug is .*; a slug contains only"):
        checked_slug("init", "namespace slug", slug)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Digit Classifier", "digit-classifier"), ("Über 2", "uber-2"), ("digits", "digits")],
)
def test_a_project_is_addressed_by_its_slugified_name(name, slug):
    assert project_slug("init", name) == slug


def test_a_project_name_that_slugifies_to_nothing_is_refused():
    with pytest.raises(ValueError, match="init: project display name '!!!' has no slug"):
        project_slug("init", "!!!")
