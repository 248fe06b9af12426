"""A project by `startproject`, with the lines of docs/howto/django.md alone, on a database of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from forked_python import run_forked
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.database.connect import connect


class Project:
    """A project with one app, on a database of its own.

    Its commands run in forks of a process that has imported Django, or in new processes where `forks` is false.
    """

    def __init__(self, folder: Path, dsn: str, models: str, tests: str = "", *, forks: bool = True) -> None:
        self.forks = forks
        self.folder = folder
        self.dsn = dsn
        plugins = str(Path(__file__).parents[1] / "plugins")
        path = os.pathsep.join([plugins, os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "mysite.settings"}
        # Modules are written again within a second.
        self.environment["PYTHONDONTWRITEBYTECODE"] = "1"
        for arguments in ("'startproject', 'mysite', '.'", "'startapp', 'shop'"):
            self.python(
                "-c", f"import django.core.management as m; m.execute_from_command_line(['', {arguments}])"
            )
        parts = conninfo_to_dict(dsn)
        keys = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port", "PASSWORD": "password"}
        database = {key: str(parts[name]) for key, name in keys.items() if parts.get(name)}
        settings = folder / "mysite/settings.py"
        text = re.sub(r"DATABASES = \{.*?\n\}\n", "", settings.read_text(), flags=re.DOTALL)
        text = text.replace("INSTALLED_APPS = [", "INSTALLED_APPS = [\n    'shop',\n    'imgvec_pg.django',")
        settings.write_text(
            text + f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.postgresql', **{database}}}}}\n"
        )
        (folder / "shop/models.py").write_text(models)
        (folder / "shop/tests.py").write_text(tests)

    def manage(self, *arguments: str, code: int | None = 0, answers: str = "") -> str:
        return self.python("manage.py", *arguments, code=code, answers=answers)

    def python(self, *arguments: str, code: int | None = 0, answers: str = "") -> str:
        if self.forks:
            done = run_forked(arguments, folder=self.folder, environment=self.environment, answers=answers)
        else:
            done = subprocess.run(
                [sys.executable, "-W", "error", *arguments],
                input=answers,
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )
        assert code in (None, done.returncode), done.stdout + done.stderr
        return done.stdout + done.stderr

    def count(self, table: str) -> int:
        with connect(self.dsn) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row is not None
        return int(row[0])
