"""Make a collection of vectors that are there already: prove them, create it, copy them, enqueue what is missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from imgvec_pg.adoption.candidates import AUTO, find_candidates
from imgvec_pg.adoption.column import Held, VectorColumn, find_column, survey
from imgvec_pg.adoption.copying import Copied, copy_column
from imgvec_pg.adoption.identify import MADE_BY, Identification
from imgvec_pg.adoption.prove import Column, Proof, prove
from imgvec_pg.backfill.model_check import check_model
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import CollectionError, ModelError, UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.collection_plan import differences, plan_collection, tell_differences
from imgvec_pg.store.model_registry import find_models
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.spec import CollectionSpec

SAMPLE = 50


@dataclass(frozen=True)
class Adoption:
    """What is to be taken over, and how it is looked at.

    Attributes:
        column: "schema.table.column", quoted as in SQL.
        keys: Columns beside it that have the source's key; () to find them.
        sample: Rows embedded again.
        least: Least cosine by which a vector counts as a model's.
        device: Where they are embedded.
    """

    column: str
    keys: Sequence[str] = ()
    sample: int = SAMPLE
    least: float = MADE_BY
    device: str = "auto"


@dataclass(frozen=True)
class Adoptable:
    """A column that was proved to be a model's: the spec of the collection that it becomes part of, and what was found out."""

    spec: CollectionSpec
    column: VectorColumn
    held: Held
    proof: Proof


def examine(
    connection: Connection,
    spec: CollectionSpec,
    adoption: Adoption,
    *,
    told: Callable[[Held | Identification], None] = lambda found: None,
    progress: Callable[[str], None] = lambda line: None,
) -> Adoptable:
    """Find out who made a column and what of it can be adopted; changes nothing.

    Args:
        spec: Its model may be "auto".
        told: Called with what the column holds, then with what its sample was found to be.

    Raises:
        CollectionError, UsageError, ModelError: The column cannot be adopted.
    """
    named = spec.model
    is_auto = named == AUTO
    if is_auto:
        spec = replace(spec, dimensions=1, has_text=False)
    plan = plan_collection(connection, spec)
    if not is_auto:
        find_begun(connection, spec)
    column = find_column(connection, adoption.column, plan.source, adoption.keys)
    held = survey(connection, plan.collection, column)
    told(held)
    dimensions = _dimensions(held, column, None if is_auto else plan.collection)
    if is_auto:
        models = find_candidates(dimensions, [model.name for model in find_models(connection)])
        if not models:
            raise CollectionError(
                f"{column.shown} has vectors of {dimensions} dimensions, and no model of as many is on this machine: name the "
                "one that made it with --model, see imgvec model list"
            )
        # What is planned of the collection alone depends on the length of its vectors.
        planned = replace(plan.collection, dimensions=dimensions)
    else:
        models, planned = [plan.collection.model_name], plan.collection
    proof = prove(
        Column(connection, planned, column),
        models,
        sample=adoption.sample,
        device=adoption.device,
        least=adoption.least,
        told=told,
        progress=progress,
    )
    _check_on_record(connection, proof)
    return Adoptable(spec.by_model(proof.model), column, held, proof)


def _check_on_record(connection: Connection, proof: Proof) -> None:
    """Refuse weights that are not those on record under the model's name, before anything is made.

    Raises:
        ModelError: They are others.
    """
    here = proof.identification.fingerprints[proof.model]
    for recorded in find_models(connection, proof.model):
        if recorded.fingerprint is not None and recorded.fingerprint != here:
            raise ModelError(
                f'the weights or preprocessing of "{proof.model}" here (fingerprint {here[:12]}) are not those on record in this '
                f"database ({recorded.fingerprint[:12]}); use the same weights"
            )


def _dimensions(held: Held, column: VectorColumn, collection: Collection | None) -> int:
    """Return the length of the vectors to be adopted.

    Raises:
        CollectionError: There is no vector, or none of the model's length.
    """
    if held.dimensions is None or held.zero == sum(held.by_dimensions.values()):
        raise CollectionError(
            f"{column.shown} has no vector but of norm 0: leave out --adopt to embed all rows"
        )
    if collection is None:
        return held.dimensions
    if held.by_dimensions.get(collection.dimensions, 0) == 0:
        there = ", ".join(f"{rows:,} of {number}" for number, rows in held.by_dimensions.items())
        raise CollectionError(
            f"{column.shown} is not adopted: {collection.model_name} gives {collection.dimensions} dimensions, its vectors have "
            f"others ({there}): name the model that made it, or --model auto"
        )
    return collection.dimensions


def adopt(
    connection: Connection,
    found: Adoptable,
    *,
    device: str = "auto",
    lock_timeout_ms: int = 2000,
    made: Callable[[Collection], None] = lambda collection: None,
    progress: Callable[[int], None] = lambda rows: None,
) -> tuple[Collection, Copied]:
    """Create the collection, or go on with one whose adoption was interrupted, and copy what was proved.

    Args:
        made: Called once the collection is there, before anything is copied.
        progress: Called with the source's rows looked at so far.

    Raises:
        CollectionError: The collection cannot be created, or is there and was made otherwise.
        ModelError: Its model is another than the one on record.
    """
    collection = find_begun(connection, found.spec) or create_collection(
        connection, found.spec, lock_timeout_ms=lock_timeout_ms
    )
    # Workers must have the weights that the proof was made with.
    check_model(connection, collection, load_embedder(found.proof.model, device=device))
    made(collection)
    return collection, copy_column(connection, collection, found.column, found.proof, progress)


def find_begun(connection: Connection, spec: CollectionSpec) -> Collection | None:
    """Return the collection of this name whose adoption was interrupted; None where there is none of this name.

    Raises:
        CollectionError: It was made otherwise, or its rows are enqueued already.
    """
    there = next((item for item in find_collections(connection, spec.name) if item.name == spec.name), None)
    if there is None:
        return None
    declared = replace(spec, source=there.shown_source)
    other = differences(there.spec(), declared)
    if other:
        raise CollectionError(
            f'collection "{there.name}" exists already and is another ({tell_differences(other)}); choose another name, or '
            f"first: imgvec collection drop {there.name}"
        )
    if there.is_listed:
        raise CollectionError(
            f'collection "{there.name}" exists already and its rows are enqueued: fill it with imgvec backfill {there.name}'
        )
    return there


def check_named(spec: CollectionSpec) -> None:
    """Refuse a spec without a model where no column tells it.

    Raises:
        UsageError: Its model is "auto".
    """
    if spec.model == AUTO:
        raise UsageError(
            "--model auto asks a column of vectors who made it: give --adopt schema.table.column, or name a model"
        )
