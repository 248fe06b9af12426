"""Fill the library with the demo's drawings, as photos in albums."""

import random
from pathlib import Path

from photos import Album, Photo, create_app, db
from private import drawings
from sqlalchemy import select


def fill(folder: Path, count: int) -> int:
    """Add photos until there are as many as asked for; return how many there are."""
    with create_app().app_context():
        albums = {album.name: album for album in db.session.scalars(select(Album))}
        there = set(db.session.scalars(select(Photo.path)))
        for picture in drawings(folder, count):
            album = albums.setdefault(picture.category, Album(name=picture.category))
            stars = random.Random(picture.file).randint(0, 5)  # noqa: S311 - a library, no secret
            if picture.file not in there:
                db.session.add(Photo(title=picture.name, path=picture.file, stars=stars, album=album))
        db.session.commit()
        return len(there)
