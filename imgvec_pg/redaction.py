"""Passwords and other secrets out of what people and logs get to read."""

import re
from urllib.parse import unquote

HIDDEN = "***"

# A password may hold anything but space and quotes where somebody forgot to escape it: up to the last @.
_POSTGRES_URL = re.compile(r"(\bpostgres(?:ql)?(?:\+\w+)?://[^\s:/@'\"]*):[^\s'\"]*@", re.IGNORECASE)
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/?#@'\"]*):[^\s/?#'\"]*@", re.IGNORECASE)
# libpq's keywords, SQL's PASSWORD 'x', and the parameters by which signed URLs of object stores give access.
_PARAMETER = re.compile(
    r"\b((?:ssl)?password|passwd|pwd|secret|secret_access_key|access_token|token|signature|sig|x-amz-signature|x-amz-security-token)"
    r"(\s*=\s*|\s+(?='))('(?:[^'\\]|\\.|'')*'?|[^\s&'\"]+)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_SECRET_KEYWORDS = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)


def hide_secrets(text: str) -> str:
    """Return a text with the passwords of URLs and connection strings, and the signatures of URLs, replaced by ***."""
    text = _POSTGRES_URL.sub(rf"\1:{HIDDEN}@", text)
    text = _URL.sub(rf"\1:{HIDDEN}@", text)
    return _PARAMETER.sub(rf"\1\2{HIDDEN}", text)


def has_secret(dsn: str) -> bool:
    """Whether a connection string holds a password, as far as one can tell of a misspelt one."""
    return hide_secrets(dsn) != dsn or re.search(r":[^\s]*@", dsn) is not None


def hide_parts_of(dsn: str, text: str) -> str:
    """Return what libpq says of a connection string without any part of a secret in it.

    libpq quotes the words that it stumbles over, and a password that is not escaped rightly falls into such words:
    postgresql://ann:p@ss@host looks for a host "ss@host".
    """
    text = hide_secrets(text)
    if not has_secret(dsn):
        return text
    safe = _safe_words(dsn)
    given = dsn + "\n" + unquote(dsn)

    def shown(found: re.Match[str]) -> str:
        word = found[1] if found[1] is not None else found[2]
        return found[0] if word in safe or word not in given else f"{found[0][0]}{HIDDEN}{found[0][-1]}"

    return _QUOTED.sub(shown, text)


def _safe_words(dsn: str) -> set[str]:
    """Return the words of a connection string that are certainly no part of a secret."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parsed = conninfo_to_dict(dsn)
    except ProgrammingError:
        return {"password", "="}
    values = {str(value) for name, value in parsed.items() if name not in _SECRET_KEYWORDS}
    values |= {part for value in values for part in value.split(",")}
    # An @ belongs to the password of a URL; a port that is no number does too.
    doubtful = {value for value in values if "@" in value or "://" in value}
    port = str(parsed.get("port", ""))
    if not port.replace(",", "").isdigit():
        # All of it was cut apart at the wrong place.
        doubtful |= values if "port" in parsed else set()
    return (values - doubtful) | set(parsed)
