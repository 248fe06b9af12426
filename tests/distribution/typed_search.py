"""What an application writes; test_types.py has mypy and pyright check it, and that they find the mistakes at the end."""

from typing import assert_type

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from imgvec_pg.sqlalchemy import CollectionSpec, EmbeddingMixin, Row, SearchSettings, near, search


class Base(DeclarativeBase): ...


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    clip: Mapped["ProductClip | None"] = relationship(viewonly=True)


class ProductClip(EmbeddingMixin, Base):
    __source__ = Product
    __collection__ = CollectionSpec("product_clip", image="photo_path", model="demo", root="/srv/photos")
    source: Mapped[Product]


def ask(session: Session) -> None:
    assert_type(near(sa.select(Product), "red shoes"), sa.Select[Product, float])
    assert_type(near(sa.select(Product.id, Product.name), Row(7), 5), sa.Select[int, str, float])
    assert_type(near(sa.select(Product), "red", distinct=True), sa.Select[Product, float, int])
    for product, distance in session.execute(near(sa.select(Product), "red").where(Product.id > 3)):
        assert_type(product, Product)
        assert_type(distance, float)
        if product.clip is not None:
            assert_type(product.clip.source.name, str)
    SearchSettings(ef_search=100, iterative_scan="strict_order").apply(session)
    search(session, sa.select(Product.id, Product.name), b"...", 5, distinct=True)


async def ask_async(session: AsyncSession) -> None:
    (await session.execute(near(sa.select(Product), 42))).all()
    await session.run_sync(search, sa.select(Product), "red", 5)


near(sa.select(Product), "red", k="ten")  # a mistake
near("SELECT 1", "red")  # a mistake
near(sa.select(Product), "red", by=Product)  # a mistake
SearchSettings(iterative_scan="on")  # a mistake
