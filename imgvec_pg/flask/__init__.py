"""Image search for Flask.

db = SQLAlchemy(app)
imgvec = ImgVec(app, db)
imgvec.search(select(Photo).where(Photo.year == 2026), "my dog at the beach", k=20)
"""

from imgvec_pg.flask.blueprint import search_blueprint
from imgvec_pg.flask.extension import ImgVec

__all__ = ["ImgVec", "search_blueprint"]
