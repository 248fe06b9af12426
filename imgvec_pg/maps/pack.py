"""A map as a browser takes it: a length, JSON, then places, numbers of clusters and colours as they lie in memory."""

import json
from typing import Any

import numpy as np
from psycopg import sql

from imgvec_pg.maps.colours import OTHER, css
from imgvec_pg.maps.layout import Indices
from imgvec_pg.maps.read_map import ColouredMap
from imgvec_pg.store.collection import Collection
from imgvec_pg.text import counted


def shuffled(count: int) -> Indices:
    """Return the order that points are sent in: by chance, so that the first of them are a sample of all."""
    return np.random.default_rng(0).permutation(count)


def pack(shown: ColouredMap, collection: Collection, order: Indices, **more: Any) -> bytes:  # noqa: ANN401 - goes to JSON
    """Return a map as bytes, little-endian: the JSON's length (uint32) and text, padded to 4 bytes; x and y by turns (float32),
    clusters (uint16), red, green and blue (uint8).

    Args:
        more: Further fields of the JSON.
    """
    rows = np.bincount(shown.clusters, minlength=max((one.number for one in shown.named), default=0) + 1)
    head = {
        "count": len(order),
        "by": shown.by,
        "legend": shown.legend,
        "isScale": shown.is_scale,
        "facts": facts(shown, collection),
        "select": selection(collection),
        "clusters": [
            {
                "number": one.number,
                "name": one.name,
                "x": one.x,
                "y": one.y,
                "colour": css(shown.cluster_colours.get(one.number, OTHER)),
                "rows": int(rows[one.number]),
            }
            for one in shown.named
        ],
        **more,
    }
    text = json.dumps(head, ensure_ascii=False, default=str).encode()
    text += b" " * (-len(text) % 4)
    return b"".join(
        (
            len(text).to_bytes(4, "little"),
            text,
            np.ascontiguousarray(shown.places[order], dtype="<f4").tobytes(),
            shown.clusters[order].astype("<u2").tobytes(),
            np.ascontiguousarray(shown.colours[order], dtype=np.uint8).tobytes(),
        )
    )


def facts(shown: ColouredMap, collection: Collection) -> list[str]:
    """Return what a map is of, in a few words each."""
    run, state = shown.state.run, shown.state
    made = f"made {run.ended_at:%Y-%m-%d %H:%M}" if run.ended_at else ""
    later = f"{state.later:,} placed later" if state.later else ""
    old = f"older than half its rows: run imgvec map {collection.name}" if state.is_old else ""
    parts = (counted(len(shown.places), "row"), f"collection {collection.name}", run.method, made, later, old)
    return [part for part in parts if part]


def selection(collection: Collection) -> str:
    """Return the beginning of a statement that selects the source's rows by their places, up to its condition."""
    return (
        sql.SQL("SELECT p.* FROM {} AS p JOIN imgvec.{} AS m USING ({}) WHERE")
        .format(
            collection.source,
            sql.Identifier(f"map_{collection.name}"),
            sql.SQL(", ").join(map(sql.Identifier, collection.key_columns)),
        )
        .as_string(None)
    )
