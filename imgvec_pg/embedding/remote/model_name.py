"""Names of models behind a server: http:NAME@URL, with prompts as a fragment."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from imgvec_pg.errors import ModelNotFoundError

PREFIX = "http:"
_NAME = re.compile(r"http:(?P<model>[^\s]+?)@(?P<url>https?://[^\s#]+)(?:#(?P<options>\S*))?", re.ASCII)
OPTIONS = ("query", "document", "input", "output", "words")
KSERVE_OPTIONS = OPTIONS[2:]


@dataclass(frozen=True)
class RemoteName:
    """A model of a server.

    Attributes:
        text: The whole name, as users type it.
        model: What the server calls the model.
        url: Where /v1/embeddings or /v2/models is, without a slash at its end.
        query: What a text becomes before it is sent, {} standing for it.
        document: The words that go with a picture, "" for none; for models that take instructions.
        input: KServe's tensor that takes pictures, "" for the only one.
        output: KServe's tensor that holds the vectors, "" for the only one that may.
        words: What a KServe server calls the model of words, "" for none.
    """

    text: str
    model: str
    url: str
    query: str = "{}"
    document: str = ""
    input: str = ""
    output: str = ""
    words: str = ""

    @property
    def is_kserve(self) -> bool:
        """Whether it has what only KServe's protocol knows."""
        return bool(self.input or self.output or self.words)


def is_remote(name: str) -> bool:
    """Whether a model's name is of this kind."""
    return name.startswith(PREFIX)


def parse_remote(name: str) -> RemoteName:
    """Take a name apart.

    Raises:
        ModelNotFoundError: It is none, its URL holds a password or a query, or an option is unknown.
    """
    found = _NAME.fullmatch(name)
    example = "write http:NAME@URL, such as http:clip@https://embed.example.com/v1"
    if found is None:
        raise ModelNotFoundError(f"{name!r} names no model of a server: {example}")
    try:
        parts = urlsplit(found["url"])
        port = parts.port
    except ValueError as error:
        raise ModelNotFoundError(f"the URL of {name!r} cannot be understood ({error}): {example}") from error
    if not parts.hostname or port == 0:
        raise ModelNotFoundError(f"the URL of {name!r} has no host: {example}")
    if "@" in parts.netloc or parts.query or "?" in found["url"]:
        # It is stored with the collection, and shown.
        raise ModelNotFoundError(
            f"the URL of the model {found['model']} has a password or a query in it, which would be stored: give the key as "
            "IMGVEC_EMBEDDER_KEY, and the URL without it"
        )
    options = dict(parse_qsl(found["options"] or "", keep_blank_values=True))
    unknown = sorted(options.keys() - set(OPTIONS))
    query = options.get("query", "{}")
    if unknown or "{}" not in query:
        met = f"has {unknown[0]}" if unknown else f"has query={query}, without a place for the words"
        raise ModelNotFoundError(
            f"{name!r} {met}; expected #query=PROMPT with {{}} in it and document=PROMPT, percent-encoded; "
            "for KServe input=TENSOR, output=TENSOR and words=MODEL"
        )
    if options.get("document") and any(options.get(option) for option in KSERVE_OPTIONS):
        raise ModelNotFoundError(f"{name!r} has document=, which KServe's protocol has no place for")
    url = found["url"].rstrip("/")
    others = {option: options.get(option, "") for option in OPTIONS[1:]}
    return RemoteName(name, found["model"], url, query, **others)
