"""An application with an Alembic tree of its own, made by `alembic init` and run by Alembic's own command."""

import importlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from alembic import command
from alembic.config import CommandLine, Config
from ormshop import sqlalchemy_url

MODELS = """\
import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from imgvec_pg.sqlalchemy import CollectionSpec, EmbeddingMixin


class Base(DeclarativeBase): ...


class Product(Base):
    __tablename__ = "product"
    __table_args__ = (
        sa.Index("product_look", "look", postgresql_using="hnsw", postgresql_ops={"look": "halfvec_cosine_ops"}),
    )
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    name: Mapped[str]
    photo: Mapped[str | None]
    look = mapped_column(HALFVEC(3))


class ProductClip(EmbeddingMixin, Base):
    __source__ = Product
    __collection__ = CollectionSpec("product_clip", image="photo", root="/srv/photos", model="demo")
"""
IMPORT = """from models import Base

target_metadata = Base.metadata"""
PLUGINS = 'autogenerate_plugins=["alembic.autogenerate.*", "imgvec_pg"]'


LOGGING = "    fileConfig(config.config_file_name)"


class App:
    """A folder with models.py and the tree `alembic`, on one database. Commands run in this process, but for start()."""

    def __init__(self, folder: Path, dsn: str, template: str = "generic", driver: str = "psycopg") -> None:
        self.folder = folder
        self.ini = folder / "alembic.ini"
        command.init(Config(str(self.ini), stdout=io.StringIO()), str(folder / "alembic"), template=template)
        url = (
            sqlalchemy_url(dsn)
            .set(drivername=f"postgresql+{driver}")
            .render_as_string(hide_password=False)
            .replace("%", "%%")
        )
        ini = re.sub(r"(?m)^sqlalchemy.url = .*$", lambda _: f"sqlalchemy.url = {url}", self.ini.read_text())
        self.ini.write_text(ini.replace("prepend_sys_path = .", f"prepend_sys_path = {folder}"))
        env = folder / "alembic" / "env.py"
        env.write_text(
            env.read_text()
            .replace("target_metadata = None", IMPORT)
            .replace("target_metadata=target_metadata", f"target_metadata=target_metadata, {PLUGINS}")
            # It would silence this process's loggers.
            .replace(LOGGING, "    pass")
        )
        self.write(MODELS)

    def write(self, models: str) -> None:
        """Write models.py, and forget its bytecode: one written in the same second, equally long, would count as this."""
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)
        (self.folder / "models.py").write_text(models)

    def change(self, old: str, new: str) -> None:
        """Change models.py."""
        models = (self.folder / "models.py").read_text()
        assert old in models
        self.write(models.replace(old, new))

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start Alembic's own command."""
        return subprocess.Popen(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def alembic(self, *arguments: str) -> str:
        """Run Alembic's command in this process and return its output; errors are raised."""
        output = io.StringIO()
        line = CommandLine("alembic")
        options = line.parser.parse_args(list(arguments))
        config = Config(str(self.ini), stdout=output, output_buffer=output, cmd_opts=options)
        path = list(sys.path)
        importlib.invalidate_caches()
        try:
            line.run_cmd(config, options)
        except SystemExit as error:  # what it was raised from is what the command would show after FAILED:
            raise error.__context__ or error from None
        finally:
            sys.path[:] = path
            sys.modules.pop("models", None)
        return output.getvalue()

    def autogenerate(self, message: str, *arguments: str) -> str:
        """Write a revision by autogenerate and return its text."""
        return self._revision("revision", "--autogenerate", "-m", message, *arguments).read_text()

    def write_revision(self, upgrade: str, downgrade: str = "pass") -> None:
        """Write a revision by hand."""
        path = self._revision("revision", "-m", "by hand")
        first, second = path.read_text().rsplit("pass", 1)
        path.write_text(first.replace("    pass", f"    {upgrade}") + downgrade + second)

    def _revision(self, *arguments: str) -> Path:
        versions = self.folder / "alembic" / "versions"
        before = set(versions.glob("*.py"))
        self.alembic(*arguments)
        [made] = set(versions.glob("*.py")) - before
        return made
