"""Rows that share pictures, over an index of different pictures: shared, their last row deleted while another arrives, tidied."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle

from application import Scene
from elements import Element
from workers import NAME, put_file, random_picture

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.pictures.picture_table import PictureTidy, prepare_pictures
from imgvec_pg.store.registry import get_collection

WITHOUT_PICTURE = """
    SELECT count(*) FROM imgvec.photo_grid_embedding AS e
    WHERE NOT EXISTS (SELECT FROM imgvec.photo_grid_picture AS p
                      WHERE p.content_hash = e.content_hash AND p.embedding = e.embedding)
"""
ORPHANS = """
    SELECT count(*) FROM imgvec.photo_grid_picture AS p
    WHERE NOT EXISTS (SELECT FROM imgvec.photo_grid_embedding AS e
                      WHERE e.content_hash = p.content_hash AND e.embedding = p.embedding)
"""
# A picture in bytes, which no change of a file can change: (hash of it, rows that get it).
SHARE = """
    UPDATE photo SET path = NULL, content = o.content
    FROM (SELECT content FROM photo WHERE content IS NOT NULL ORDER BY random() LIMIT 1) AS o
    WHERE id = ANY (%s)
"""
LAST = """
    SELECT e.content_hash, array_agg(e.id ORDER BY e.id) FROM imgvec.photo_grid_embedding AS e
    JOIN photo AS p USING (id) WHERE p.content IS NOT NULL
    GROUP BY e.content_hash ORDER BY count(*), random() LIMIT 1
"""


class SharedPictures(Element):
    """Pictures shared by rows; the last row of one deleted in the moment another gets it; orphans removed beside all that."""

    disturbances = 12

    def __init__(self, patience_seconds: float = 120.0) -> None:
        super().__init__(patience_seconds)
        self.kinds: Iterator[Callable[[Connection, Scene], None]] = cycle(
            [self.share, self.tidy, self.hand_over, self.tidy]
        )

    def begin(self, scene: Scene) -> None:
        super().begin(scene)
        with connect(scene.database) as connection:
            prepare_pictures(connection, replace(get_collection(connection, NAME), by_picture=True))

    def disturb(self, scene: Scene) -> None:
        kind = next(self.kinds)
        with connect(scene.database) as connection:
            kind(connection, scene)
        scene.faults[f"pictures: {kind.__name__}"] += 1

    def share(self, connection: Connection, scene: Scene) -> None:
        """Give a few rows the picture of another."""
        numbers = scene.draw.sample(range(1, scene.newest + 1), 6)
        connection.execute(SHARE, [sorted(scene.key(number) for number in numbers)])

    def hand_over(self, connection: Connection, scene: Scene) -> None:
        """Delete all rows with a picture, one of another transaction having it not yet committed."""
        found = connection.execute(LAST).fetchone()
        if found is None:
            return
        keys = found[1]
        with connect(scene.database) as other, other.transaction():
            scene.newest += 1
            other.execute(
                "INSERT INTO photo (id, content) SELECT %s, content FROM photo WHERE id = %s",
                [scene.key(scene.newest), keys[0]],
            )
            connection.execute("DELETE FROM photo WHERE id = ANY (%s)", [keys])
            self.tidy(connection, scene)

    def tidy(self, connection: Connection, scene: Scene) -> None:
        """Remove pictures that no row has, as each worker does every ten minutes."""
        del scene
        PictureTidy(get_collection(connection, NAME), interval_seconds=0).look(connection)

    def settle(self, scene: Scene) -> None:
        """Let one picture come that nobody had, so that the queue is not empty by chance."""
        with connect(scene.database) as connection:
            scene.newest += 1
            put_file(connection, scene.root, scene.key(scene.newest), random_picture(scene.draw))

    def left_behind(self, scene: Scene) -> dict[str, str]:
        """Return rows without their picture, and pictures without a row once they had been removed."""
        with connect(scene.database) as connection:
            self.tidy(connection, scene)
            counts = {
                what: connection.execute(statement).fetchone()
                for what, statement in (
                    ("rows without their picture", WITHOUT_PICTURE),
                    ("orphan pictures", ORPHANS),
                )
            }
        return {what: str(row[0]) for what, row in counts.items() if row and row[0]}
