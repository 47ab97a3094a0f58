"""Regular expressions in filters: what they match, what is refused, and what they cost."""

import itertools
import re
import string
import threading
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afnio_tellurio.filters import automata, patterns
from afnio_tellurio.filters.automata import MAX_POSITIONS, Automaton
from afnio_tellurio.filters.pattern_syntax import MAX_NESTING, MAX_REPEATS, MAX_SOURCE
from afnio_tellurio.filters.patterns import Pattern, compile_pattern

#: Letters with unusual cases: sharp s, Turkish i, Kelvin, long s, and one beyond 16 bits.
LETTERS = "abAkKi\u00df\u1e9e\u0130\u0131\u212a\u017f\u03c3\u03c2\U00010428"
ALPHABET = LETTERS + "1_- \n\u0661"
#: With (?i), `re` does not find it in a set of several characters.
WIDE_CAPITAL = "\U00010400"


def written(character):
    """A character as patterns may write it."""
    forms = [re.escape(character)] if character.isascii() else [character]
    if character == "\n":
        forms.append(r"\n")
    if ord(character) < 0x10000:
        forms.append(f"\\u{ord(character):04x}")
    if ord(character) < 0x100:
        forms.append(f"\\x{ord(character):02X}")
    return st.sampled_from(forms)


CHARACTERS = st.sampled_from(ALPHABET).flatmap(written)
CLASSES = st.sampled_from([r"\d", r"\D", r"\w", r"\W", r"\s", r"\S"])


@st.composite
def ranges(draw):
    low, high = sorted(draw(st.tuples(st.sampled_from(ALPHABET), st.sampled_from(ALPHABET))))
    return f"{draw(written(low))}-{draw(written(high))}"


SETS = st.builds(
    "[{}{}]".format,
    st.sampled_from(["", "^"]),
    st.lists(CHARACTERS | CLASSES | ranges(), min_size=1, max_size=3).map("".join),
)
ATOMS = CHARACTERS | CLASSES | SETS | st.sampled_from([".", "a", "b", "\n"])
REPEATS = st.sampled_from(["*", "+", "?", "{0}", "{2}", "{1,}", "{0,2}", "{1,3}"])


def larger(inner, atoms=ATOMS):
    groups = st.builds("{}{})".format, st.sampled_from(["(", "(?:"]), inner)
    repeats = st.builds("{}{}{}".format, atoms | groups, REPEATS, st.sampled_from(["", "?"]))
    sequences = st.lists(inner, min_size=0, max_size=3).map("".join)
    choices = st.lists(inner, min_size=2, max_size=3).map("|".join)
    return groups | repeats | sequences | choices


def larger_of_few(inner):
    return larger(inner, st.sampled_from(["a", "b", "."]))


SOURCES = st.builds(
    "{}{}".format,
    st.sampled_from(["", "(?i)"]),
    st.recursive(ATOMS | st.sampled_from(["^", "$"]), larger, max_leaves=8),
)
TEXTS = st.text(ALPHABET + WIDE_CAPITAL, max_size=6) | st.text("ab\n", max_size=8)


#: Of few characters: with most of them, the repeats and groups decide what matches.
STRUCTURES = st.builds(
    str.replace,
    st.sampled_from(["{}", "^(?:{})$", "^({})"]),
    st.just("{}"),
    st.recursive(
        st.sampled_from(["a", "b", ".", "[^a]", "\n", "^", "$"]), larger_of_few, max_leaves=8
    ),
)
SHORT_TEXTS = [
    "".join(text) for size in range(5) for text in itertools.product("ab\n", repeat=size)
]


def searches(source, text):
    """What `re` finds, which warns of sets that may get another meaning."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return re.search(source, text) is not None


@settings(max_examples=1_000)
@given(SOURCES, st.lists(TEXTS, min_size=1, max_size=5))
@example("(?i)k", ["\u212a", "K"])
@example("a$\n", ["a\n", "a\n\n"])
@example("a$\n$", ["a\n", "a\n\n"])
@example("(^|b)a$", ["a", "ba\n", "ca"])
@example("^$", ["", "\n", "\n\n"])
@example("$^", ["", "\n"])
@example("$", ["a"])
@example("\n^", ["\n"])
def test_a_pattern_matches_what_re_matches(source, texts):
    pattern = Pattern(source)
    for text in texts:
        assert pattern.search(text) == searches(source, text), (source, text)


@settings(max_examples=400)
@given(STRUCTURES)
@example("^(a|ba)+$")
@example("^(?:a{2,}|b{0,2}$)$")
def test_all_short_texts_match_as_in_re(source):
    pattern, expected = Pattern(source), re.compile(source)
    differing = [t for t in SHORT_TEXTS if pattern.search(t) != (expected.search(t) is not None)]
    assert differing == [], source


@pytest.mark.parametrize("source", ["{}", "[{}]", "[{}a]", r"[{}\d]", "[{}-{}1]", r"{}|\d", "[^1]"])
def test_a_capital_letter_beyond_16_bits_is_found_in_a_set(source):
    small = WIDE_CAPITAL.lower()
    for letter in [WIDE_CAPITAL, small]:
        pattern = source.replace("{}", letter)
        assert Pattern("(?i)" + pattern).search(WIDE_CAPITAL)
        assert Pattern("(?i)" + pattern).search(small)
        assert Pattern(pattern).search(letter)
    assert not Pattern(f"(?i)[^{WIDE_CAPITAL}a]").search(WIDE_CAPITAL + small + "aA")


@pytest.mark.parametrize("ignore_case", ["", "(?i)"])
@pytest.mark.parametrize(
    "expression",
    [
        "[a-k]",
        "[^A-Z]",
        r"[\W\d]",
        r"\s",
        "i",
        "S",
        "\u00df",
        "\u03c2",
        "[\u0130]",
        "[\u0100-\uffff]",
    ],
)
def test_a_set_contains_the_same_characters_of_unicode_as_in_re(ignore_case, expression):
    source = ignore_case + expression
    # In one automaton, without the states, which would be forgotten again and again.
    pattern, expected = Pattern(source), re.compile(source)
    every = map(chr, range(0x11000))
    assert [c for c in every if pattern.search(c) != (expected.search(c) is not None)] == []


@pytest.mark.parametrize(
    "source",
    [
        "", "|", "a|", "()", "(|a)b", "a{0}", "(){100}", "[]a]", "[^]a]", "[a-]", "[-a]", r"[\d-]",
        "[a^]", "[[]", "[a&&b]", "[.$*]", "]", "}", "a}", "(?i)", "(?i)A|b", r"\.\\\-\ \/\_\"",
        r"[\]\-\\^]", "(?:a)", "a??b", "a{1,2}?", "(^)*a", "(?:$)*", "(?:a*)*", "(?:a|b*)+$",
        "\u00e9+", "-", ",", "a{01}", "(?:)(?:)",
        r"\n", r"a\tb|\nb", r"\x41", r"[\u00E9\x24]",
    ],
)  # fmt: skip
def test_what_looks_unusual_means_the_same_as_in_re(source):
    pattern = compile_pattern(source)
    for text in ["", "a", "b", "ab", "]", "^", "-", "[", "&", "\\", "}", "a}", "\u00e9", "\n", '.\\- /_"',
                 "A", "1", "$", "abab", "\nb", ",", "a\tb"]:  # fmt: skip
        assert pattern.search(text) == searches(source, text), text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a(?=b)", "the lookahead (?= at character 2 is not supported; match the text itself"),
        ("(?!b)", "the negative lookahead (?! at character 1 is not supported; combine two filters instead"),
        ("(?<=b)", "the lookbehind (?<= at character 1 is not supported; match the text itself"),
        ("(?<!b)", "the negative lookbehind (?<! at character 1 is not supported; combine two filters instead"),
        ("(a)(?P=a)", "the backreference (?P= at character 4 is not supported; write out what it repeats"),
        ("(?P<a>b)", "the named group (?P< at character 1 is not supported; use (...)"),
        ("(?<a>b)", "the named group (?< at character 1 is not supported; use (...)"),
        ("(?>b)", "the atomic group (?> at character 1 is not supported; use (?:...)"),
        ("(?#b)", "the comment (?# at character 1 is not supported; remove it"),
        ("(a)(?(1)b)", "the conditional group (?( at character 4 is not supported; use |"),
        ("a(?i)", "the flag (?i) at character 2 is not supported; move it to the start of the pattern"),
        ("(?i)(?i)", "the flag (?i) at character 5 is not supported; move it to the start of the pattern"),
        ("(?s).", "the group (? at character 1 is not supported; use (...), (?:...), or (?i) at the start"),
        ("(?i:a)", "the group (? at character 1 is not supported; use (...), (?:...), or (?i) at the start"),
        (r"(a)\1", r"the backreference \1 at character 4 is not supported; write out what it repeats"),
        (r"\0", r"the octal escape \0 at character 1 is not supported; use \xHH"),
        (r"\bmain", r"the word boundary \b at character 1 is not supported; match the characters around it, as in (?:^|\W)"),
        (r"a\B", r"the word boundary \B at character 2 is not supported; match the characters around it, as in \w"),
        (r"[\b]", r"the word boundary \b at character 2 is not supported; match the characters around it, as in (?:^|\W)"),
        (r"\Aa", r"the anchor \A at character 1 is not supported; use ^"),
        (r"a\Z", r"the anchor \Z at character 2 is not supported; use $"),
        (r"a\z", r"the anchor \z at character 2 is not supported; use $"),
        (r"\p{L}", r"the escape \p at character 1 is not supported; remove the backslash"),
        ("\\\u00e9", "the escape \\\u00e9 at character 1 is not supported; remove the backslash"),
        ("\\\u2028", r"the escape '\\\u2028' at character 1 is not supported; remove the backslash"),
        ("a*+", "the possessive repeat + at character 3 is not supported; remove the +"),
        ("a{2}+", "the possessive repeat + at character 5 is not supported; remove the +"),
        ("[[:alpha:]]", r"the POSIX class [: at character 2 is not supported; use \d, \w, or \s, or write \[ for a ["),
        ("*a", r"nothing to repeat at character 1; add what to repeat, or write \*"),
        ("(?i)+", r"nothing to repeat at character 5; add what to repeat, or write \+"),
        ("a|?", r"nothing to repeat at character 3; add what to repeat, or write \?"),
        ("({2})", r"nothing to repeat at character 2; add what to repeat, or write \{"),
        ("^*", r"nothing to repeat at character 2; add what to repeat, or write \*"),
        ("a**", r"a repeat of a repeat at character 3; add what to repeat, or write \*"),
        ("a*??", r"a repeat of a repeat at character 4; add what to repeat, or write \?"),
        ("a{", r"invalid repeat at character 2; use {m}, {m,}, or {m,n}, or write \{ for a {"),
        ("a{,3}", r"invalid repeat at character 2; use {m}, {m,}, or {m,n}, or write \{ for a {"),
        ("a{\u0663}", r"invalid repeat at character 2; use {m}, {m,}, or {m,n}, or write \{ for a {"),
        ("a{3,2}", "bounds in the wrong order at character 2; write {2,3}"),
        ("(a", r"unclosed group at character 1; add ), or write \( for a ("),
        ("a(b(c)", r"unclosed group at character 2; add ), or write \( for a ("),
        ("a)", r"no group to close at character 2; add (, or write \) for a )"),
        ("a[b", r"unclosed set at character 2; add ], or write \[ for a ["),
        ("[]", r"unclosed set at character 1; add ], or write \[ for a ["),
        ("[a-", r"unclosed set at character 1; add ], or write \[ for a ["),
        ("[b-a]", r"invalid range at character 2; write the lower character first, or \- for a -"),
        (r"[\d-a]", r"invalid range at character 2; write the lower character first, or \- for a -"),
        (r"[xa-\w]", r"invalid range at character 3; write the lower character first, or \- for a -"),
        ("a\\", r"a backslash at the end at character 2; write \\ for a backslash"),
        ("[\\", r"a backslash at the end at character 2; write \\ for a backslash"),
        (r"\x1", r"invalid escape \x at character 1; write \x and 2 hexadecimal digits"),
        (r"\u12g4", r"invalid escape \u at character 1; write \u and 4 hexadecimal digits"),
    ],
)  # fmt: skip
def test_another_pattern_is_refused_and_its_place_is_named(source, message):
    with pytest.raises(ValueError) as raised:
        compile_pattern(source)
    assert str(raised.value) == f"invalid pattern: {message}"


TOO_LARGE = "it is too large with its repeats written out (up to 500 characters); repeat less"


@pytest.mark.parametrize(
    ("largest", "larger", "message"),
    [
        ("a" * MAX_SOURCE, "a" * (MAX_SOURCE + 1), "it has 501 characters; use up to 500"),
        ("a{100}", "a{101}", "too many repeats at character 2; use up to 100"),
        ("a{0,100}", "a{0,101}", "too many repeats at character 2; use up to 100"),
        ("a{100,}", "a{101,}", "too many repeats at character 2; use up to 100"),
        ("(a{5}){100}", "(a{5}){100}b", TOO_LARGE),
        ("(a{99}){0,5}", "(a{99}){0,6}", TOO_LARGE),
        ("(a{99}){4,}", "(a{99}){5,}", TOO_LARGE),
        ("((){5}){100}", "((((){100}){100}){100}){100}", TOO_LARGE),
        ("((^|a){5}){50}", "((^|a){6}){50}", TOO_LARGE),
        (
            "(" * MAX_NESTING + "a" + ")" * MAX_NESTING,
            "(" * (MAX_NESTING + 1),
            "too many groups inside each other at character 31; use up to 30",
        ),
    ],
)
def test_a_pattern_beyond_a_bound_is_refused(largest, larger, message):
    compile_pattern(largest)
    with pytest.raises(ValueError) as raised:
        compile_pattern(larger)
    assert str(raised.value) == f"invalid pattern: {message}"
    assert MAX_REPEATS == 100
    assert MAX_POSITIONS == 500


def test_the_deepest_pattern_compiles_far_down_the_stack():
    source = "(?:(a|b" * (MAX_NESTING // 2) + "c" + "){1,1}d)*" * (MAX_NESTING // 2)

    def compile_below(calls):
        return compile_below(calls - 1) if calls else Pattern(source)

    assert compile_below(500).search("abc")


class Counted:
    """Counts the calls of a method."""

    def __init__(self, monkeypatch, owner, name):
        self.calls = 0
        method = getattr(owner, name)

        def call(*args):
            self.calls += 1
            return method(*args)

        monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize(
    ("source", "end", "is_found"),
    [
        ("(a*)*b", "", False),
        ("(a*)*b", "b", True),
        ("(a|a)*$", "", True),
        ("(a|a)*$", "\n", True),
        ("^(a|a)*$", "b", False),
        ("(.*){10}x", "", False),
        ("(.*){10}x", "x", True),
        ("^(a+)+$", "!", False),
        ("(?i)(A|a?)*b", "", False),
        ("(a?){100}(a?){100}b", "", False),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "", False),
    ],
)
def test_a_hostile_pattern_takes_few_steps(monkeypatch, source, end, is_found):
    followed = Counted(monkeypatch, patterns._States, "follow")
    reached = Counted(monkeypatch, Automaton, "reach")
    text = "a" * 100_000 + end
    pattern = Pattern(source)
    assert pattern.search(text) is is_found
    # Each state costs one step for each position at most.
    assert 0 < followed.calls <= 205
    assert reached.calls <= 2 * followed.calls + 10


#: The states of this one are all combinations of the last 16 characters.
EXPONENTIAL = "[ab]*a[ab]{15}$"


def binary_texts():
    return [
        f"{number * 40_503 % 2**20:020b}".translate({48: "a", 49: "b"}) for number in range(2_000)
    ]


def test_a_pattern_with_exponentially_many_states_forgets_them(monkeypatch):
    followed = Counted(monkeypatch, patterns._States, "follow")
    forgotten = Counted(monkeypatch, patterns._States, "_forget")
    pattern = Pattern(EXPONENTIAL)
    texts = binary_texts()
    for text in texts:
        assert pattern.search(text) is (text[-16] == "a")
        assert len(pattern._states._built) <= patterns.MAX_STATES
    assert forgotten.calls > 5
    assert followed.calls <= sum(map(len, texts))
    # One text alone, too.
    text = "".join(texts)
    followed.calls = 0
    assert pattern.search(text) is (text[-16] == "a")
    assert followed.calls <= len(text)


def test_a_state_that_is_forgotten_remembers_no_others():
    pattern = Pattern(EXPONENTIAL)
    pattern.search("abab")
    states = [pattern._states.start, *pattern._states._built.values()]
    assert all(states[:-1])
    pattern._states._forget()
    assert not any(states)
    assert pattern.search("a" * 16)


def test_what_a_pattern_keeps_of_many_characters_is_bounded(monkeypatch):
    monkeypatch.setattr(patterns, "MAX_TRANSITIONS", 50)
    monkeypatch.setattr(automata, "MAX_CHARACTERS", 30)
    pattern = Pattern("^[\u4e00-\u9fff]+x$")
    for first in range(0x4E00, 0x4E00 + 500):
        text = "".join(map(chr, range(first, first + 100)))
        assert pattern.search(text + "x")
        assert not pattern.search(text)
        states = [pattern._states.start, *pattern._states._built.values()]
        assert sum(map(len, states)) <= 50
        assert len(pattern._states._automaton._matching) <= 30


def test_threads_share_a_pattern_while_it_forgets(monkeypatch):
    monkeypatch.setattr(patterns, "MAX_STATES", 20)
    pattern = Pattern(EXPONENTIAL)
    texts = binary_texts()[:500]
    start = threading.Barrier(4)
    wrong = []

    def search_all(number):
        start.wait()
        rotated = texts[number * 100 :] + texts[: number * 100]
        wrong.extend(text for text in rotated if pattern.search(text) is not (text[-16] == "a"))
        finished.append(number)

    finished = []
    threads = [threading.Thread(target=search_all, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(finished) == [0, 1, 2, 3]
    assert wrong == []


@given(st.text(ALPHABET + string.printable, max_size=10), st.text(ALPHABET, max_size=3))
def test_an_escaped_text_matches_itself(text, other):
    for source in [re.escape(text), "(?i)" + re.escape(text)]:
        assert Pattern(source).search(other + text + other)
        assert Pattern(source).search(other) is searches(source, other)


def test_a_pattern_is_compiled_once():
    first = compile_pattern("once-[0-9]+")
    assert compile_pattern("once-[0-9]+") is first
    assert first.source == "once-[0-9]+"
    assert repr(first) == "Pattern('once-[0-9]+')"


def test_a_search_ends_when_the_result_is_known():
    class Endless(str):
        __slots__ = ()

        def __iter__(self):
            yield "a"
            raise AssertionError("it read on")

    assert Pattern("a[bc]*").search(Endless("abc"))
    assert not Pattern("^[bc]").search(Endless("abc"))
