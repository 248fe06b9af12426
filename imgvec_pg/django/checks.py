"""System checks: what is wrong with an ImageSearch, before any migration."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, register
from django.core.exceptions import FieldDoesNotExist
from django.db.models import BinaryField, CharField, Field, FileField, GeneratedField, TextField, URLField

from imgvec_pg.django.image_search import ImageSearch, all_searches
from imgvec_pg.django.indexes import holder, root_for
from imgvec_pg.embedding.catalog import describe_known
from imgvec_pg.errors import ImgvecError
from imgvec_pg.search.query_client import Embedding

PLAIN_NAME = re.compile(r'"[a-z_][a-z0-9_]*"(\."[a-z_][a-z0-9_]*")?')
EXAMPLE = 'such as model="ViT-B-32/laion2b_s34b_b79k"'

EMBED: tuple[str, ...] = get_args(Embedding)


@register(Tags.models)
def check_image_searches(app_configs: Any, **_: Any) -> list[CheckMessage]:  # noqa: ANN401
    """Check every ImageSearch of the project."""
    searches = all_searches()
    found = [message for search in searches for message in _check(search)]
    return [*found, *_check_together(searches)]


@register(Tags.models)
def check_settings(app_configs: Any, **_: Any) -> list[CheckMessage]:  # noqa: ANN401
    """Check settings.IMGVEC."""
    given = getattr(settings, "IMGVEC", {})
    if not isinstance(given, dict):
        problems = [f"settings.IMGVEC is a {type(given).__name__}; expected a dict"]
    else:
        problems = [f"settings.IMGVEC knows no {key!r}" for key in given if key not in ("EMBED", "MODEL")]
        if given.get("MODEL") is not None and (wrong := _model_problem(str(given["MODEL"]))):
            problems.append(f'settings.IMGVEC["MODEL"]: {wrong}')
        if (embed := given.get("EMBED", "auto")) not in EMBED:
            problems.append(f'settings.IMGVEC["EMBED"] is {embed!r}')
    embed = f"{', '.join(EMBED[:-1])} or {EMBED[-1]}"
    hint = f'It may have "EMBED": {embed}, and "MODEL": one in place of all others, such as "test" for tests.'
    return [Error(problem, hint=hint, id="imgvec_pg.E012") for problem in problems]


def _check(search: ImageSearch) -> Iterator[CheckMessage]:
    shown = f"{search.owner._meta.label}.{search.name}"
    if not search.model_name:
        yield Error(
            f"{shown} names no model to embed with",
            hint=f"Add one, {EXAMPLE}.",
            obj=search.owner,
            id="imgvec_pg.E001",
        )
    elif problem := _model_problem(search.model_name):
        yield Error(f"{shown}: {problem}", obj=search.owner, id="imgvec_pg.E002")
    for problem in search.problems():
        hint = 'collection="…" names it.' if "name a collection" in problem else None
        yield Error(f"{shown}: {problem}", hint=hint, obj=search.owner, id="imgvec_pg.E003")
    if len(search.owner._meta.pk_fields) > 1:
        yield Error(
            f"{search.owner._meta.label} has a composite primary key, to which Django makes no relations",
            hint="imgvec collection create and the functions in SQL take such tables.",
            obj=search.owner,
            id="imgvec_pg.E004",
        )
    yield from _check_fields(search, shown)
    is_first = next(iter(search.owner._image_searches.values())) is search
    if is_first and any(field.name == "distance" for field in search.owner._meta.get_fields()):
        yield Error(
            f'{search.owner._meta.label} has a field "distance", which near() gives each row',
            hint='Give the field another name; db_column="distance" keeps its column.',
            obj=search.owner,
            id="imgvec_pg.E011",
        )
    if not search.owner._meta.managed and search.model_name:
        yield Info(
            f"{search.owner._meta.label} is not managed, so migrations do not make its collection {search.collection}",
            hint=f"Make it once: manage.py imgvec {shlex.join(_creation(search))}\n"
            'Then silence this: SILENCED_SYSTEM_CHECKS = ["imgvec_pg.I001"].',
            obj=search.owner,
            id="imgvec_pg.I001",
        )


def _creation(search: ImageSearch) -> list[str]:
    """Return the command that makes a search's collection as a migration would make it."""
    meta = search.owner._meta
    fields = {field.name: field for field in meta.concrete_fields}
    # Django puts the quotes around, which is how a project gets a schema into it: shop"."product.
    table = f'"{meta.db_table}"'
    made = ["collection", "create", search.collection, "--source"]
    made.append(table.replace('"', "") if PLAIN_NAME.fullmatch(table) else table)
    for option, names in (("--image", search.image), ("--watch", search.options["watch"])):
        made += [part for name in names if name in fields for part in (option, fields[name].column)]
    made += ["--model", str(search.model_name)]
    paths = [
        fields[name]
        for name in search.image
        if name in fields and not isinstance(holder(fields[name]), BinaryField)
    ]
    given = search.options
    roots = [given["root"] or root_for(field) for field in paths[:1]]
    options = (
        ("--root", roots[0] if roots else None, None),
        *(("--url", prefix, None) for prefix in given["url_prefixes"]),
        ("--prompt", given["prompt"], "{}"),
        ("--m", given["m"], 16),
        ("--ef-construction", given["ef_construction"], 64),
        ("--quantize", given["quantization"], None),
        ("--method", given["index_method"], "hnsw"),
        ("--lists", given["lists"], None),
        ("--partitions", given["partitions"], 0),
        ("--bands", ",".join(map(str, given["bands"])), ""),
    )
    made += [part for name, value, default in options if value != default for part in (name, str(value))]
    return made if given["foreign_key"] else [*made, "--no-fk"]


def _model_problem(name: str) -> str | None:
    """Say what is wrong with a model's name, as far as that is known without importing torch."""
    try:
        describe_known(name)
    except ImgvecError as error:
        return str(error)
    return None


def _check_fields(search: ImageSearch, shown: str) -> Iterator[CheckMessage]:
    for name in (*search.image, *search.options["watch"]):
        try:
            field = search.owner._meta.get_field(name)
        except FieldDoesNotExist:
            names = ", ".join(f.name for f in search.owner._meta.get_fields() if isinstance(f, Field))
            yield Error(
                f'{shown} is about "{name}", which is no field of {search.owner._meta.label}',
                hint=f"It has: {names}.",
                obj=search.owner,
                id="imgvec_pg.E005",
            )
            continue
        if name not in search.image:
            continue
        if field.model is not search.owner:
            yield Error(
                f'{shown} is about "{name}", which {search.owner._meta.label} inherits and the table of '
                f"{field.model._meta.label} holds",
                hint=f"Put the ImageSearch into {field.model._meta.label}; near() finds it from {search.owner._meta.label} too.",
                obj=search.owner,
                id="imgvec_pg.E010",
            )
            continue
        if isinstance(field, GeneratedField) and not field.db_persist:
            yield Error(
                f'{shown}: "{name}" is a virtual GeneratedField, of which no trigger sees what it becomes',
                hint="Give it db_persist=True, or name the field that it is made from.",
                obj=search.owner,
                id="imgvec_pg.E015",
            )
            continue
        field = holder(field)
        if not isinstance(field, FileField | CharField | TextField | BinaryField):
            yield Error(
                f'{shown}: "{name}" is a {type(field).__name__}; expected an ImageField, FileField, BinaryField, URLField, '
                "or a CharField or TextField with paths",
                obj=search.owner,
                id="imgvec_pg.E006",
            )
        elif not isinstance(field, BinaryField):
            yield from _check_places(search, field, f'{shown}: "{name}"')


def _check_places(search: ImageSearch, field: Field, shown: str) -> Iterator[CheckMessage]:
    """Check that a field with paths or URLs comes with the folder or the URLs that a worker may read."""
    if search.options["url_prefixes"] or search.options["root"] is not None or root_for(field) is not None:
        return
    if isinstance(field, URLField):
        yield Error(
            f"{shown} holds URLs, and nothing says which of them may be fetched",
            hint='Add url_prefixes=["https://images.example.com"]; a worker fetches no others.',
            obj=search.owner,
            id="imgvec_pg.E013",
        )
    else:
        yield Error(
            f"{shown} holds paths, and nothing says which folder they are under",
            hint='Add root="/srv/photos"; a worker reads no file outside it. For URLs: '
            'url_prefixes=["https://images.example.com"].',
            obj=search.owner,
            id="imgvec_pg.E007",
        )


def _check_together(searches: Sequence[ImageSearch]) -> Iterator[CheckMessage]:
    by_name: dict[str, list[ImageSearch]] = defaultdict(list)
    by_purpose: dict[tuple[Any, ...], list[ImageSearch]] = defaultdict(list)
    for search in searches:
        by_name[search.collection].append(search)
        by_purpose[search.owner, search.image, search.model_name].append(search)
    for name, same in by_name.items():
        if len(same) > 1:
            shown = " and ".join(f"{search.owner._meta.label}.{search.name}" for search in same)
            yield Error(
                f'{shown} both make the collection "{name}"',
                hint='Name one of them: collection="…".',
                obj=same[1].owner,
                id="imgvec_pg.E008",
            )
    for (owner, image, model_name), same in by_purpose.items():
        if len(same) > 1 and model_name:
            names = " and ".join(search.name for search in same)
            yield Error(
                f"{owner._meta.label} has two collections on one field: {names} both embed {' and '.join(image)} by {model_name}",
                hint="Remove one. Two of different models are possible: near(…, search=NAME) tells them apart.",
                obj=owner,
                id="imgvec_pg.E009",
            )
