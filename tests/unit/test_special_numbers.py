"""NaN and the infinities in JSON, told from the words for them."""

import json
import math
import random

import msgspec
import pytest

from afnio_tellurio.special_numbers import (
    add_backslashes,
    escape_word,
    plain,
    remove_backslashes,
    restore,
    spell_out,
)
from afnio_tellurio.validation import encoded_value, json_value

WORDS = ["NaN", "Infinity", "-Infinity", "\\NaN", "\\\\Infinity", "\\\\\\-Infinity"]
OTHERS = ["", "\\", "nan", "NaN ", "x\\NaN", '\\NaN"', '"NaN', '","\\NaN', ': "\\NaN', "+Infinity"]


@pytest.mark.parametrize("text", [*WORDS, *OTHERS], ids=ascii)
def test_a_string_is_the_string_that_it_was(text):
    assert restore(escape_word(text)) == text
    assert plain(escape_word(text)) == text
    assert (escape_word(text) != text) is (text in WORDS)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf], ids=repr)
def test_a_number_is_the_number_that_it_was(number):
    assert repr(restore(encoded_value(number))) == repr(number)
    assert repr(restore(encoded_value([[{"a": number}]]))) == repr([[{"a": number}]])
    assert json_value(number) == encoded_value(number)


def test_people_see_words_without_backslashes():
    value = {"NaN": ["\\NaN", math.nan, "Infinity"]}
    assert json_value(value) == {"NaN": ["\\NaN", "NaN", "Infinity"]}


@pytest.mark.parametrize("seed", range(20))
def test_the_json_of_objects_loses_one_backslash_and_gets_it_back(seed):
    choice = random.Random(seed)

    def value(depth):
        kind = choice.randrange(6 if depth else 4)
        if kind < 3:
            return choice.choice([*WORDS[3:], *OTHERS, "text"])
        if kind == 3:
            return choice.choice([1, 0.5, None, True])
        if kind == 4:
            return [value(depth - 1) for _ in range(choice.randrange(4))]
        return {choice.choice([*WORDS, *OTHERS]): value(depth - 1) for _ in range(3)}

    for encode in (msgspec.json.encode, lambda item: json.dumps(item, indent=1).encode()):
        original = value(4)
        text = encode(original)
        escaped = add_backslashes(text)
        assert json.loads(escaped) == encoded_value(original)
        assert remove_backslashes(escaped) == text


def test_a_long_text_of_backslashes_takes_no_time_that_grows_with_its_square():
    text = b'"' + b"\\\\" * 2_000_000 + b'x"'
    assert remove_backslashes(add_backslashes(text)) == text


@pytest.mark.parametrize(
    "text", [*WORDS, *OTHERS, "\0\x1f\x7fä", "\\u005cNaN", "\\\\u004e"], ids=ascii
)
def test_a_word_has_one_spelling_however_it_was_escaped(text):
    plainly = json.dumps(text).replace("\\u007f", "\x7f").encode()
    escaped = b'"%b"' % b"".join(b"\\u%04x" % ord(character) for character in text)
    assert spell_out(escaped) == plainly
    assert spell_out(plainly) == plainly
    assert spell_out(b'{"a": [%b]}' % escaped) == b'{"a": [%b]}' % plainly
