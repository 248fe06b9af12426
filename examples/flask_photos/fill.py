"""Fill the library with the demo's drawings, as photos in albums, some of them imported twice."""

import random
from pathlib import Path

from photos import Album, Photo, create_app, db
from private import drawings
from sqlalchemy import select

IMPORTED_TWICE = 15
"""Of so many photos one lies in the folder a second time."""


def fill(folder: Path, count: int) -> int:
    """Add photos until there are as many as asked for; return how many there are."""
    with create_app().app_context():
        albums = {album.name: album for album in db.session.scalars(select(Album))}
        there = set(db.session.scalars(select(Photo.path)))
        pictures = drawings(folder, count)
        (folder / "again").mkdir(exist_ok=True)
        for place, picture in enumerate(pictures):
            album = albums.setdefault(picture.category, Album(name=picture.category))
            stars = random.Random(picture.file).randint(0, 5)  # noqa: S311 - a library, no secret
            if picture.file not in there:
                db.session.add(Photo(title=picture.name, path=picture.file, stars=stars, album=album))
            again = f"again/{Path(picture.file).name}"
            if place % IMPORTED_TWICE == 0 and again not in there:
                (folder / again).write_bytes((folder / picture.file).read_bytes())
                db.session.add(Photo(title=f"{picture.name} (again)", path=again, stars=stars, album=album))
        db.session.commit()
        return len(there)
