"""A photo library in Flask: pages, and the same answers as JSON."""

import os
from pathlib import Path

from flask import Flask, abort, render_template, request
from flask.typing import ResponseReturnValue
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, ForeignKey, Select, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship

from imgvec_pg.errors import UsageError
from imgvec_pg.flask import ImgVec, search_blueprint
from imgvec_pg.sqlalchemy import EmbeddingMixin

COLLECTION = "photo_clip"
SHOWN = 48
MAX_UPLOAD_BYTES = 8 << 20


class Base(DeclarativeBase):
    """The application's models."""


db = SQLAlchemy(model_class=Base)
imgvec = ImgVec()


class Album(Base):
    """A set of photos."""

    __tablename__ = "album"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Photo(Base):
    """A photo: its file below the photo folder, and what people say of it."""

    __tablename__ = "photo"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    path: Mapped[str] = mapped_column(unique=True)
    stars: Mapped[int] = mapped_column(default=0)
    album_id: Mapped[int] = mapped_column(ForeignKey("album.id"), index=True)
    album: Mapped[Album] = relationship()


class PhotoClip(EmbeddingMixin, Base):
    """The embeddings of photos. run.py makes the collection, as folder and model are chosen there."""

    __source__ = Photo
    __collection__ = COLLECTION


def database_url() -> URL:
    """Return PHOTOS_DSN, libpq's connection string, as SQLAlchemy has it."""
    parts = conninfo_to_dict(os.environ.get("PHOTOS_DSN", "dbname=photos"))
    query = {name: str(parts[name]) for name in ("host", "port") if parts.get(name)}
    return URL.create(
        "postgresql+psycopg", str(parts.get("user", "")), database=str(parts["dbname"]), query=query
    )


def create_app() -> Flask:
    """Make the application."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url()
    app.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD_BYTES
    app.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost"]
    db.init_app(app)
    Migrate(app, db, directory=str(Path(__file__).parent / "migrations"))
    imgvec.init_app(app, db)
    app.register_blueprint(
        search_blueprint(COLLECTION, columns=["title", "stars"], name="api"), url_prefix="/api"
    )
    app.add_url_rule("/", view_func=library, methods=["GET", "POST"])
    app.add_url_rule("/photo/<int:key>", view_func=photo)
    return app


def library() -> ResponseReturnValue:
    """Show photos: the newest, or the nearest to words or to an uploaded picture, under the visitor's filters."""
    words, album, stars = (
        request.args.get("q", "").strip(),
        request.args.get("album", type=int),
        "stars" in request.args,
    )
    upload = request.files.get("image")
    statement = select(Photo).options(joinedload(Photo.album))
    if album is not None:
        statement = statement.where(Photo.album_id == album)
    if stars:
        statement = statement.where(Photo.stars >= 4)
    photos: list[tuple[Photo, int]] = []
    problem = ""
    try:
        if upload or words:
            asked = upload.read() if upload else words
            photos = nearest(statement, asked, SHOWN)
        else:
            newest = db.session.scalars(statement.order_by(Photo.id.desc()).limit(SHOWN))
            photos = [(photo, 1) for photo in newest]
    except UsageError as error:
        problem = str(error)
    counts = select(Album, func.count(Photo.id)).join(Photo).group_by(Album.id).order_by(Album.name)
    shown = render_template(
        "library.html",
        photos=photos,
        albums=db.session.execute(counts).all(),
        words=words,
        album=album,
        stars=stars,
        upload=upload is not None,
        problem=problem,
    )
    return shown, 400 if problem else 200


def photo(key: int) -> ResponseReturnValue:
    """Show one photo, and others like it."""
    shown = db.session.get(Photo, key) or abort(404)
    return render_template("photo.html", photo=shown, alike=nearest(select(Photo), shown, 16))


def nearest(statement: Select[Photo], asked: bytes | str | Photo, k: int) -> list[tuple[Photo, int]]:
    """Return different pictures, nearest first, and how many photos have each: somebody imported a folder twice."""
    return [(row.Photo, row.copies) for row in imgvec.search(statement, asked, k, distinct=True).rows]
