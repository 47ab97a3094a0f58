"""What counts as a credential, and what does not."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afnio_tellurio.tracking.redaction import (
    MARK,
    redact_arguments,
    redact_config,
    redact_text,
    redact_url,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
#: Credentials of well-known services, which match no real one.
TOKENS = [
    "sk-" + "a1B2" * 8,
    "sk-proj-" + "aB_-3" * 8,
    "sk-ant-api03-aB3-dE5-gH7-jK9",
    "ghp_" + "a" * 36,
    "github_pat_" + "a" * 30,
    "hf_" + "a" * 34,
    "xoxb-" + "1234567890-abc",
    "xoxp-" + "1234567890-abc",
    "AKIA" + "A" * 16,
    JWT,
    PEM,
    PEM.replace("RSA ", ""),
]


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "apiKey", "api-key", "APIKey", "API_KEY", "apikey", "api_key_2", "openai_key",
        "OPENAI_API_KEY", "api_key_openai", "aws_secret_access_key", "token", "access_token",
        "accessToken", "auth_token", "hf_token", "HF_TOKEN", "use_auth_token", "slack_bot_token",
        "password", "db_password", "password2", "PGPASSWORD", "passwd", "pwd", "passphrase",
        "secret", "client_secret", "clientSecret", "secret_v2", "private_key", "private-key",
        "credentials", "authorization", "Authorization", "bearer", "cookie", "Set-Cookie",
        "connection_string", "connectionString", "api_keys", "access_tokens", "my key",
    ],
)  # fmt: skip
def test_a_value_whose_key_names_a_credential_is_replaced(name):
    config = {"a": [{name: "hunter2"}]}
    assert redact_config(config) == ({"a": [{name: MARK}]}, [f"a.0.{name}"])
    assert config == {"a": [{name: "hunter2"}]}
    # A bool, None and an empty string hold no secret.
    for value in (None, True, False, ""):
        assert redact_config({name: value}) == ({name: value}, [])


@pytest.mark.parametrize(
    "name",
    [
        "key", "keys", "primary_key", "sort_key", "key_size", "image_key", "rng_key", "keyboard",
        "num_tokens", "max_tokens", "maxTokens", "max_new_tokens", "tokens", "tokenizer",
        "tokenizer_name", "pad_token", "eos_token", "bosToken", "additional_special_tokens",
        "token_count", "token_type", "tokens_per_step", "pad_token_id", "password_length",
        "secret_name", "api_key_env", "credentials_path", "token_url", "num_secrets", "monkey",
        "author", "optimizer", "", "connection", "string",
    ],
)  # fmt: skip
def test_a_hyperparameter_is_kept(name):
    for value in ("hunter2", 7, 0.5, {"a": "b"}, ["a"]):
        assert redact_config({name: value}) == ({name: value}, [])


def test_numbers_and_special_tokens_are_kept_where_the_key_is_about_tokens():
    for value in (512, 1.5, "512", "<unk>", "[PAD]"):
        assert redact_config({"access_token": value}) == ({"access_token": value}, [])
    assert redact_config({"pin_password": 1234}) == ({"pin_password": MARK}, ["pin_password"])


def test_everything_below_a_key_that_names_a_credential_is_replaced():
    config = {"credentials": {"user": "a", "enabled": True, "all": ["b", {"c": 1}]}, "lr": 0.1}
    redacted, paths = redact_config(config)
    assert redacted == {
        "credentials": {"user": MARK, "enabled": True, "all": [MARK, {"c": MARK}]},
        "lr": 0.1,
    }
    assert paths == ["credentials.user", "credentials.all.0", "credentials.all.1.c"]


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:12])
def test_an_unmistakable_credential_is_replaced_under_any_key(token):
    assert redact_config({"x": {"y": token}}) == ({"x": {"y": MARK}}, ["x.y"])
    assert redact_arguments(["--x", token]) == ["--x", MARK]
    assert redact_text(f"use '{token}'.") == f"use '{MARK}'."


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn-random-forest-v2-large", "hf_dataset", "task-1234567890123456789", "risk-a1b2c3",
        "ghp_short", "AKIA", "eyJ.a.b", "https://host/x", "https://user@host/x", "a:b@c",
        "http://[::1]:80/x", "https://host:80/a@b", "-----BEGIN CERTIFICATE-----", "bearer of news",
    ],
)  # fmt: skip
def test_other_text_is_kept(text):
    assert redact_config({"x": text}) == ({"x": text}, [])
    assert redact_arguments([text, f"x={text}"]) == [text, f"x={text}"]


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgresql+psycopg://u:p@host/db", "postgresql+psycopg://u:[redacted]@host/db"),
        ("redis://:p@host", "redis://:[redacted]@host"),
        ("x https://u:p:q@r@host/a b://u:p@c", "x https://u:[redacted]@host/a b://u:[redacted]@c"),
        ("Bearer abcdefghij1234567890", "Bearer [redacted]"),
        (f"{PEM}\n{PEM[:50]}", "[redacted]\n[redacted]"),
    ],
)
def test_only_the_credential_in_a_text_is_replaced(text, redacted):
    assert redact_config({"x": text}) == ({"x": redacted}, ["x"])
    # The second time it is the same, and not reported.
    assert redact_config({"x": redacted}) == ({"x": redacted}, [])


@pytest.mark.parametrize(
    ("arguments", "redacted"),
    [
        (["--api-key=X", "--lr=1"], ["--api-key=[redacted]", "--lr=1"]),
        (["--api-key", "X", "--lr", "1"], ["--api-key", MARK, "--lr", "1"]),
        (["-password", "X"], ["-password", MARK]),
        (["--password", "-1", "x"], ["--password", MARK, "x"]),
        (["--password", "--lr", "1"], ["--password", "--lr", "1"]),
        (["--password"], ["--password"]),
        (["--password="], ["--password="]),
        (["--set=db.password=X", "--set=lr=1"], ["--set=db.password=[redacted]", "--set=lr=1"]),
        (["--header=Cookie: X", "--a=b: c"], ["--header=Cookie: [redacted]", "--a=b: c"]),
        (["-e", "API_KEY=X", "-e", "A=1"], ["-e", "API_KEY=[redacted]", "-e", "A=1"]),
        (["-p", "8080"], ["-p", "8080"]),
        (["--max-tokens", "5", "--max_tokens=5"], ["--max-tokens", "5", "--max_tokens=5"]),
        (["--hf_token", "5x"], ["--hf_token", MARK]),
        (["model.api_key=X", "model.lr=1"], ["model.api_key=[redacted]", "model.lr=1"]),
        (["+a.secret.b=X", "++db.password=X"], ["+a.secret.b=[redacted]", "++db.password=[redacted]"]),
        (["--url", "https://u:p@h/x"], ["--url", "https://u:[redacted]@h/x"]),
        (["url=https://u:p@h/x?a=b"], ["url=https://u:[redacted]@h/x?a=b"]),
        (["-H", "Authorization: Basic dTpw"], ["-H", "Authorization: [redacted]"]),
        (["-H", "X-Api-Key: abc", "Note: abc"], ["-H", "X-Api-Key: [redacted]", "Note: abc"]),
        (["train.py", "", "-", "--", "a password = b"], ["train.py", "", "-", "--", "a password = b"]),
    ],
)  # fmt: skip
def test_arguments_keep_all_but_their_credentials(arguments, redacted):
    before = list(arguments)
    assert redact_arguments(arguments) == redacted
    assert arguments == before


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://user:token@host/x.git", "https://host/x.git"),
        ("https://token@host:8443/x.git", "https://host:8443/x.git"),
        ("https://u:p@q@host", "https://host"),
        ("ssh://git@host/x.git", "ssh://host/x.git"),
        ("git@host:x.git", "git@host:x.git"),
        ("/srv/x.git", "/srv/x.git"),
        ("https://host/@scope/x", "https://host/@scope/x"),
        ("https://host/x?private_token=a&b=c&access_token=d#e", "https://host/x?b=c#e"),
        ("https://host/x?api_key=a", "https://host/x"),
        ("https://host/ghp_" + "a" * 36 + "/x", "https://host/[redacted]/x"),
        ("", ""),
    ],
)
def test_the_url_of_a_remote_loses_its_credentials(url, redacted):
    assert redact_url(url) == redacted


CONFIGS = st.dictionaries(
    st.text(max_size=5) | st.sampled_from(["api_key", "token", "lr", "pad_token"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(TOKENS),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["password", "a", "tokens"]), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@given(CONFIGS)
def test_redacting_changes_no_argument_and_happens_once(config):
    before = copy.deepcopy(config)
    redacted, paths = redact_config(config)
    assert config == before
    assert redact_config(redacted) == (redacted, [])
    assert bool(paths) == (redacted != config)


#: Beginnings of what the patterns look for, repeated.
HOSTILE = [
    "a", "'", '"', ":", "/", "@", "-", ".", "A", "eyJ", "eyJaaaaaaaa.", "sk-", "://", "://a:",
    "a://a:a", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----END ", "A1", "hf_", "bearer ",
    "Bearer a", "=", "a=", "password=", " ", "\n", "<", "é", "AKIA",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_text_is_read_in_linear_time(part):
    # In quadratic time it would take hours.
    text = part * (500_000 // len(part))
    for each in (text, f"eyJ{text}", f"://{text}", f"sk-{text}"):
        assert redact_text(each)
    redacted, _ = redact_config({text: text})
    assert list(redacted) == [text]
    assert len(redact_arguments([text, f"--{text}", f"{text}=x"])) == 3
    assert redact_url(f"https://{text}?{text}")


def test_five_megabytes_of_hostile_text_are_read():
    text = "".join(part * (5_000_000 // len(HOSTILE) // len(part) + 1) for part in HOSTILE)
    assert len(text) > 5_000_000
    assert redact_config({"x": text})[1] == ["x"]
