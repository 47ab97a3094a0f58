"""Replaces credentials in the config, the arguments and the remotes of a run.

Every pattern takes linear time: an unbounded repetition starts after a fixed text that it cannot
contain itself, or ends at the first character that its start requires.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, cast

#: Replaces a credential.
MARK = "[redacted]"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
#: Words that mean a credential wherever they are in a name.
_CREDENTIALS = {
    "accesskey", "accesstoken", "adminpass", "apikey", "apitoken", "authorization", "authtoken",
    "bearer", "bearertoken", "clientsecret", "connectionstring", "cookie", "cookies",
    "credential", "credentials", "creds", "dbpass", "dsn", "hftoken", "jwt", "passcode",
    "passphrase", "passwd", "password", "passwords", "privatekey", "pwd", "refreshtoken",
    "rootpass", "secret", "secretkey", "secrets", "sessiontoken", "smtppass", "userpass",
}  # fmt: skip
#: What does so before `key`, `keys`, `token`, or `tokens`, wherever the two are.
_OWNERS = {
    "access", "account", "api", "auth", "bearer", "deploy", "encryption", "license",
    "master", "oauth", "personal", "private", "refresh", "secret", "service", "session", "signing",
    "ssh", "storage",
}  # fmt: skip
_KEYS_AND_TOKENS = {"key", "keys", "token", "tokens"}
#: At the end of a name they say that it is about a credential and holds none.
_ATTRIBUTES = {
    "age", "column", "count", "dim", "dims", "dir", "dropout", "enabled", "endpoint", "env",
    "expires", "expiry", "field", "file", "format", "header", "len", "length", "level", "limit",
    "loss", "manager", "max", "min", "name", "names", "number", "path", "policy", "provider",
    "rate", "ratio", "required", "rotation", "scheme", "sharing", "size", "store", "strategy",
    "timeout", "ttl", "type", "uri", "url", "var", "variable", "weight",
}  # fmt: skip
#: The same at the start.
_COUNTS = {"max", "min", "n", "num"}
#: What a glued name of a credential ends with, such as PGPASSWORD.
_ENDINGS = ("apikey", "passphrase", "passwd", "password")
_CONNECTIONS = {"conn", "connection"}
#: Keys of mappings, tables, attention and random numbers.
_HARMLESS_KEYS = {
    "action", "answer", "attention", "audio", "batch", "best", "by", "cache", "candidate",
    "caption", "category", "child", "class", "column", "composite", "config", "context",
    "cross", "data", "dataset", "default", "dict", "dst", "edge", "embedding", "eval",
    "feature", "field", "file", "foreign", "graph", "group", "hash", "head", "hot", "id",
    "idempotency", "image", "index", "input", "item", "join", "json", "label", "lookup", "loss",
    "map", "mapping", "mask", "memory", "message", "metric", "monitor", "n", "name", "node",
    "num", "object", "obs", "observation", "on", "order", "ordering", "output", "param",
    "parameter", "parent", "partition", "path", "per", "primary", "prng", "prompt", "public",
    "query", "question", "random", "response", "reward", "rng", "row", "sample", "score",
    "search", "self", "sequence", "shortcut", "sort", "source", "split", "src", "state", "step",
    "surrogate", "target", "text", "tgt", "time", "timestamp", "translation", "unique", "value",
    "video", "weight", "yaml",
}  # fmt: skip
#: Tokens of language models.
_HARMLESS_TOKENS = {
    "action", "additional", "assistant", "audio", "avg", "begin", "blank", "boa", "boi", "bos",
    "by", "call", "character", "class", "cls", "control", "decoder", "delimiter", "domain",
    "draft", "dummy", "each", "end", "eoa", "eod", "eoi", "eos", "eot", "extra", "fim", "first",
    "forced", "human", "image", "img", "input", "instruction", "lang", "language", "last",
    "latent", "mask", "max", "mean", "memory", "middle", "min", "n", "negative", "new",
    "newline", "next", "num", "oov", "output", "pad", "padding", "patch", "per", "placeholder",
    "prefix", "prev", "query", "rare", "region", "register", "reserved", "sentinel", "sep",
    "separator", "sequence", "soft", "sot", "source", "space", "special", "speech", "start",
    "state", "stop", "sub", "suffix", "summary", "target", "task", "text", "think", "time",
    "timestamp", "tool", "total", "unk", "unknown", "user", "video", "vision", "visual", "word",
}  # fmt: skip
#: A special token, such as <pad> or [PAD].
_SPECIAL_TOKEN = re.compile(r"<[^<>]{0,40}>|\[[^\[\]]{0,40}\]")
_PLAIN_NUMBER = re.compile(r"[-+]?[0-9]{1,20}(?:\.[0-9]{0,20})?")

_URL_PASSWORD = re.compile(r"://([^\s/:@?#]{0,255}):[^\s/]*@")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?"
    r"(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-(?P<openai>[A-Za-z0-9_-]{16,})"
    r"|gh[opsur]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}"
    r"|AIza[A-Za-z0-9_-]{30,}"
    r"|(?:gsk|npm|sk_live|rk_live)_[A-Za-z0-9]{16,}"
    r"|(?:xai|nvapi|pypi)-[A-Za-z0-9_-]{16,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"
    r"|glpat-[A-Za-z0-9_-]{20,}"
    r"|hf_[A-Za-z0-9]{20,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9_-])"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r")"
)
_BEARER = re.compile(r"(?<![A-Za-z])([Bb]earer )[A-Za-z0-9._~+/=-]{20,}")
_MIN_KEY_LENGTH = 16
_OVERRIDE = re.compile(r"[+~@/\w.-]{1,200}")


def redact_config(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A copy of a config with a mark in the place of credentials, and their dotted paths.

    A credential is a value whose key names one, at any depth, or which looks like one under any
    key. Under a key that names one, None, booleans and empty strings stay, and so do numbers and
    special tokens of language models if the key is about tokens.

    Args:
        config: Plain JSON values, as `checked_config` returns them.
    """
    paths: list[str] = []
    return {
        key: _redacted(value, key, _find_kind(key), paths) for key, value in config.items()
    }, paths


def redact_arguments(arguments: list[str]) -> list[str]:
    """A copy of the arguments of a program with a mark in the place of credentials.

    A credential is the value of an option or a `KEY=value` that names one, or looks like one.
    """
    redacted: list[str] = []
    pending: str | None = None
    for argument in arguments:
        name, equals, value = argument.partition("=")
        is_option = name[:1] == "-" and name.strip("-")[:1].isalpha()
        if pending is not None and not is_option:
            redacted.append(_redacted_value(argument, pending))
            pending = None
            continue
        kind = _find_kind_in_path(name) if is_option else None
        pending = None if equals else kind
        if not is_option:
            redacted.append(_redacted_assignment(argument))
        elif not equals:
            redacted.append(redact_text(argument))
        else:
            shown = _redacted_value(value, kind) if kind else _redacted_assignment(value)
            redacted.append(f"{name}={shown}")
    return redacted


def redact_url(url: str) -> str:
    """The URL of a remote without user information and without parameters that are credentials.

    The user of `git@host:path` stays: it is part of the address.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return redact_text(url)
    end = min((rest.find(each) for each in "/?#" if each in rest), default=len(rest))
    authority = rest[:end].rpartition("@")[2]
    path, question, query = rest[end:].partition("?")
    query, sharp, fragment = query.partition("#")
    kept = [each for each in query.split("&") if not _find_kind(each.partition("=")[0])]
    question = question if any(kept) else ""
    return redact_text(f"{scheme}://{authority}{path}{question}{'&'.join(kept)}{sharp}{fragment}")


def redact_text(text: str) -> str:
    """The text with a mark in the place of passwords in URLs, private keys and known tokens."""
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"://\1:{MARK}@", text)
    if "-----BEGIN " in text:
        text = _PRIVATE_KEY.sub(MARK, text)
    return _BEARER.sub(rf"\1{MARK}", _TOKEN.sub(_redacted_token, text))


def _redacted_token(found: re.Match[str]) -> str:
    key = found["openai"]
    if key is None:
        return MARK
    # Not names such as sk-learn-random-forest-v2.
    is_long = max(map(len, key.split("-"))) >= _MIN_KEY_LENGTH
    is_mixed = any(each.isdigit() for each in key) and any(each.isupper() for each in key)
    return MARK if is_long or is_mixed else found[0]


def _redacted_assignment(text: str) -> str:
    """A text such as `model.api_key=...` or `Authorization: Basic dXNlcjpwYXNz`."""
    for separator in ("=", ": "):
        name, found, value = text.partition(separator)
        kind = _find_kind_in_path(name) if found and _OVERRIDE.fullmatch(name) else None
        if kind:
            return f"{name}{separator}{_redacted_value(value, kind)}"
    return redact_text(text)


def _redacted(value: Any, path: str, kind: str | None, paths: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: _redacted(item, f"{path}.{key}", _find_kind(key) or kind, paths)
            for key, item in cast("dict[str, Any]", value).items()
        }
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_redacted(item, f"{path}.{place}", kind, paths) for place, item in enumerate(items)]
    redacted = _redacted_value(value, kind)
    if redacted != value:
        paths.append(path)
    return redacted


def _redacted_value(value: Any, kind: str | None) -> Any:
    """A value under a key of this kind."""
    if value is None or isinstance(value, bool) or value == "":
        return value
    if kind is None:
        return redact_text(value) if isinstance(value, str) else value
    if kind == "token":
        # The number of tokens, or a token of a language model.
        if not isinstance(value, str) or _PLAIN_NUMBER.fullmatch(value):
            return value
        if _SPECIAL_TOKEN.fullmatch(value):
            return value
    return MARK


def _find_kind_in_path(name: str) -> str | None:
    kinds = (_find_kind(part) for part in name.split("."))
    return next((kind for kind in kinds if kind), None)


def _find_kind(name: str) -> str | None:
    """`secret` or `token` if a name means a credential, else None."""
    words = [word.lower() for word in _WORD.findall(name) if not word.isdigit()]
    if words[-1:] == ["v"]:
        # A version.
        words.pop()
    if not words or words[0] in _COUNTS or words[-1] in _ATTRIBUTES:
        return None
    pairs = list(pairwise(words))
    if any(word in _CREDENTIALS or word.endswith(_ENDINGS) for word in words) or any(
        first in _CONNECTIONS and second == "string" for first, second in pairs
    ):
        return "secret"
    before, last = words[-2] if pairs else "", words[-1]
    if last == "key" and before and before not in _HARMLESS_KEYS:
        return "secret"
    if last == "token" and before not in _HARMLESS_TOKENS:
        return "token"
    owned = [second for first, second in pairs if first in _OWNERS and second in _KEYS_AND_TOKENS]
    if not owned:
        return None
    return "token" if owned[0].startswith("token") else "secret"
