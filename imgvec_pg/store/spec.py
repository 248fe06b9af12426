"""CollectionSpec: what a collection is declared to be, whichever way it was declared, and the checks of its values."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from imgvec_pg.database.index_methods.hnsw import HnswParams
from imgvec_pg.database.index_methods.methods import check_index_method, check_quantization
from imgvec_pg.database.partitioning import check_partition_by, check_partitions
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.errors import UsageError
from imgvec_pg.images.fetching.url_rules import parse_prefix
from imgvec_pg.images.rendering.bands import check_bands

NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")
RESERVED_ENDINGS = ("_row", "_text")
"""near_<collection>_row would be the near_* of a collection named <collection>_row too."""
MAX_PROMPT_BYTES = 500
"""As the table imgvec.collection has it."""
MAX_DIMENSIONS = 4000
"""pgvector src/hnsw.h: HNSW_MAX_DIM 2000 floats, twice that in halfvec."""


class KeyTypes(Mapping[str, str | None]):
    """Types by key columns, which never change: a spec is hashed by them. Equal to a dict of the same."""

    def __init__(self, types: Mapping[str, str | None]) -> None:
        self._types = dict(types)

    def __getitem__(self, column: str) -> str | None:
        return self._types[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def __hash__(self) -> int:
        return hash(frozenset(self._types.items()))

    def __repr__(self) -> str:
        """Return it as a migration has it."""
        return repr(self._types)


@dataclass(frozen=True)
class CollectionSpec:
    """A collection's name and what makes it. All ways to declare a collection read and write this.

    `imgvec collection create`, Django's ImageSearch, `__collection__` of a SQLAlchemy class, op.create_collection and
    `imgvec collection show --json` have these fields; a registered collection gives its own by Collection.spec().
    A name, column or prefix alone may stand for a sequence of one.

    Attributes:
        name: 1 to 40 lower-case letters, digits and underscores.
        source: The source relation, quoted where SQL wants it; a SQLAlchemy or Django class fills in its own table.
        image: The column with paths or URLs (text) or pictures (bytea), or one of each, the one with paths first.
        model: "architecture/pretrained", "demo", "local-dir:/path" or an entry point's name.
        dimensions, has_text: Of the model; None to look them up by its name.
        root: Folder that paths are relative to and must stay inside.
        url_prefixes: What URLs in the image column may begin with; none is fetched by default.
        watch: Further columns whose change means a new image.
        key: Columns that identify a row where there is no primary key, with their PostgreSQL types where SQL is written
            without a database.
        foreign_key: Whether a foreign key points to the source, so that TRUNCATE and DROP of it need CASCADE.
        m, ef_construction: Of the HNSW index.
        quantization: "bit" for a binary HNSW index, None for one over the vectors.
        index_method: "hnsw" or "ivfflat".
        lists: Of an IVFFlat index, 1 to 32,768; None for as many as suit the rows at each build.
        partitions: Hash partitions of the embedding table, 0 to 1,024; 0 for a plain table.
        partition_by: A column of the key, the tenant's, that divides the embedding table: by its hash into `partitions`, else
            into a partition for each large tenant and one for all others.
        prompt: What a text becomes before it is embedded, {} standing for it.
        bands: Three bands of TIFFs to show red, green and blue, from 1; () for those that a file names so, else its first.

    Raises:
        UsageError: A value cannot be used.
    """

    name: str
    source: str | None = None
    image: str | Sequence[str] | None = None
    model: str | None = None
    dimensions: int | None = None
    has_text: bool | None = None
    _: KW_ONLY
    root: str | None = None
    url_prefixes: Sequence[str] = ()
    watch: Sequence[str] = ()
    key: Mapping[str, str | None] | Sequence[str] = ()
    foreign_key: bool = True
    m: int = 16
    ef_construction: int = 64
    quantization: str | None = None
    index_method: str = "hnsw"
    lists: int | None = None
    partitions: int = 0
    partition_by: str | None = None
    prompt: str = "{}"
    bands: Sequence[int] = ()

    def __post_init__(self) -> None:
        for problem in find_problems(vars(self)):
            raise problem
        # One form for each value, so that specs from different ways in can be compared.
        images = as_tuple(self.image)
        object.__setattr__(self, "image", images[0] if len(images) == 1 else images or None)
        for field in ("url_prefixes", "watch", "bands"):
            object.__setattr__(self, field, as_tuple(getattr(self, field)))
        key = dict(self.key) if isinstance(self.key, Mapping) else dict.fromkeys(as_tuple(self.key))
        object.__setattr__(self, "key", KeyTypes(key))

    @property
    def image_columns(self) -> tuple[str, ...]:
        """The image columns, none where only the name was given."""
        return as_tuple(self.image)

    @property
    def key_types(self) -> Mapping[str, str | None]:
        """The key columns and their PostgreSQL types, None where a type was not given."""
        return dict(self.key) if isinstance(self.key, Mapping) else dict.fromkeys(self.key)

    @property
    def is_complete(self) -> bool:
        """Whether a collection can be made of it."""
        return bool(self.source and self.image and self.model)

    def resolve(self) -> "CollectionSpec":
        """Return it with the dimensions and the text tower of its model, and the model under its canonical name.

        Raises:
            UsageError: Source, image or model is missing.
            ModelNotFoundError: No model has this name.
        """
        missing = [name for name in ("source", "image", "model") if not getattr(self, name)]
        if self.model is None or missing:
            raise UsageError(
                f'collection "{self.name}" has no {" and no ".join(missing)}; expected all three to create it'
            )
        if self.dimensions is not None and self.has_text is not None:
            return self
        return self.by_model(self.model)

    def by_model(self, model: str) -> "CollectionSpec":
        """Return the same collection embedded by another model, of which dimensions and text tower are looked up.

        Raises:
            ModelNotFoundError: No model has this name.
        """
        described = describe_model(model)
        return replace(
            self, model=described.name, dimensions=described.dimensions, has_text=described.has_text
        )


def as_tuple(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return names as a tuple: a name alone is one, not its letters."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)


def check_name(name: str) -> None:
    """Refuse names that functions, tables and indexes cannot be called after.

    Raises:
        UsageError: Not 1 to 40 of a-z, 0-9 and _, it starts with a digit, or ends like another's functions.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" cannot name a collection; expected 1 to 40 lower-case letters, digits and underscores, '
            "not starting with a digit, such as product_clip"
        )
    if name.endswith(RESERVED_ENDINGS):
        raise UsageError(
            f'"{name}" cannot name a collection: functions of other collections end in '
            f"{' or '.join(RESERVED_ENDINGS)}; choose another ending"
        )


def check_prompt(prompt: str) -> None:
    """Refuse prompts that the registry does not take, or that leave no room for words.

    Raises:
        UsageError: {} is missing, it is over 500 bytes, or it holds a character that PostgreSQL cannot store.
    """
    try:
        size = len(prompt.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"the prompt {prompt!r} is not valid UTF-8; expected plain text") from error
    if "{}" not in prompt or "\0" in prompt:
        raise UsageError(
            f"the prompt {prompt!r} has no place for the words; expected one such as 'a photo of {{}}'"
        )
    if size > MAX_PROMPT_BYTES:
        raise UsageError(f"the prompt has {size} bytes; expected at most {MAX_PROMPT_BYTES}")


def check_dimensions(dimensions: int | None, model: str | None) -> None:
    """Refuse models whose vectors pgvector cannot index.

    Raises:
        UsageError: Not 1 to 4,000 dimensions.
    """
    if dimensions is not None and not 1 <= dimensions <= MAX_DIMENSIONS:
        raise UsageError(
            f'model "{model}" gives {dimensions:,} dimensions; pgvector indexes at most '
            f"{MAX_DIMENSIONS:,} of halfvec, so choose a model with fewer"
        )


def check_url_prefixes(prefixes: str | Sequence[str]) -> None:
    """Refuse what no URL can begin with.

    Raises:
        UsageError: One is no scheme, host and path.
    """
    for prefix in as_tuple(prefixes):
        if not isinstance(prefix, str):
            raise UsageError(
                f"{prefix!r} is no beginning of URLs; expected texts such as https://images.example.com"
            )
        parse_prefix(prefix)


CHECKS: dict[tuple[str, ...], Callable[..., object]] = {
    ("name",): check_name,
    ("prompt",): check_prompt,
    ("dimensions", "model"): check_dimensions,
    ("url_prefixes",): check_url_prefixes,
    ("m", "ef_construction"): HnswParams,
    ("quantization",): check_quantization,
    ("index_method", "lists", "quantization"): check_index_method,
    ("partitions",): check_partitions,
    ("partition_by", "partitions", "index_method", "quantization"): check_partition_by,
    ("bands",): check_bands,
}
"""What is checked of a spec's values without a database: fields, and a function of them that raises UsageError."""


def is_text(value: object) -> bool:
    """Whether it is text, or None for no such thing."""
    return value is None or isinstance(value, str)


def is_number(value: object) -> bool:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_names(value: object) -> bool:
    """Whether it is a name, or a sequence of names."""
    return is_text(value) or (
        isinstance(value, Sequence)
        and not isinstance(value, bytes)
        and all(isinstance(name, str) for name in value)
    )


def is_key(value: object) -> bool:
    """Whether it is names, or types by names."""
    if isinstance(value, Mapping):
        return is_names(tuple(value)) and all(map(is_text, value.values()))
    return is_names(value)


TYPES: dict[str, tuple[Callable[[object], bool], str]] = {
    "name": (lambda value: isinstance(value, str), "text"),
    "source": (is_text, "text"),
    "image": (is_names, "a column's name, or two"),
    "model": (is_text, "text"),
    "dimensions": (lambda value: value is None or is_number(value), "a whole number"),
    "root": (is_text, "text, such as str(path)"),
    "url_prefixes": (
        lambda value: isinstance(value, str | Sequence),
        "texts",
    ),  # the check names the one that is wrong
    "watch": (is_names, "columns' names"),
    "key": (is_key, "columns' names, or a dict of their types"),
    "foreign_key": (lambda value: isinstance(value, bool), "True or False"),
    "m": (is_number, "a whole number"),
    "ef_construction": (is_number, "a whole number"),
    "index_method": (lambda value: isinstance(value, str), "text"),
    "lists": (lambda value: value is None or is_number(value), "a whole number"),
    "partitions": (is_number, "a whole number"),
    "partition_by": (is_text, "a column's name"),
    "prompt": (lambda value: isinstance(value, str), "text"),
    "bands": (lambda value: isinstance(value, list | tuple) and all(map(is_number, value)), "three numbers"),
}
"""What a field's value must be before it is checked, and what to say of another; the others' checks see to it."""


def find_problems(values: Mapping[str, Any]) -> list[UsageError]:
    """Check a spec's values, by their fields' names; those that are missing are not checked.

    Returns:
        All that CollectionSpec would raise, the first of it first.
    """
    problems = []
    wrong = {field for field in TYPES.keys() & values.keys() if not TYPES[field][0](values[field])}
    for field in sorted(wrong):
        shown = f"{field}={values[field]!r} cannot be used for a collection"
        problems.append(UsageError(f"{shown}: it has the wrong type; expected {TYPES[field][1]}"))
    for fields, check in CHECKS.items():
        if values.keys() >= set(fields) and wrong.isdisjoint(fields):
            try:
                check(*(values[field] for field in fields))
            except UsageError as error:
                problems.append(error)
    return problems
