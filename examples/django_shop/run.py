"""Start the shop: a private PostgreSQL, migrations, products, their embeddings, and the pages."""

import argparse
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from private import private_database, worker  # noqa: E402 - beside this folder


def main() -> int:
    """Serve until ctrl-C."""
    parser = argparse.ArgumentParser(description="An example shop in Django, searched by its pictures.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--products", type=int, default=800)
    parser.add_argument("--home", type=Path, help="folder for database and pictures")
    options = parser.parse_args()
    with private_database("shop", options.home) as (home, dsn):
        password = os.environ.get("SHOP_ADMIN_PASSWORD") or secrets.token_urlsafe(9)
        environment = {
            **os.environ,
            "SHOP_HOME": str(home),
            "SHOP_DSN": dsn,
            "SHOP_SECRET_KEY": secrets.token_urlsafe(40),
            "DJANGO_SUPERUSER_PASSWORD": password,
            "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
        }

        def manage(*arguments: str, check: bool = True) -> int:
            command = [sys.executable, str(HERE / "manage.py"), *arguments]
            return subprocess.run(command, env=environment, check=check).returncode

        manage("migrate", "--verbosity", "0")
        manage("fill", str(options.products))
        manage("imgvec", "backfill", "shop_product_clip")
        manage("shell", "--no-imports", "-c", ADMIN)
        following = [sys.executable, str(HERE / "manage.py"), "imgvec", "worker", "shop_product_clip"]
        with worker(following, environment, home):
            return serve(manage, options.port, password)


def serve(manage: Callable[..., int], port: int, password: str) -> int:
    """Serve until ctrl-C."""
    print(f"\nThe shop: http://127.0.0.1:{port}/")
    print(f"Its admin: http://127.0.0.1:{port}/admin/ as admin with the password {password}", flush=True)
    try:
        return manage("runserver", "--noreload", f"127.0.0.1:{port}", check=False)
    except KeyboardInterrupt:
        return 0


ADMIN = """
import os
from django.contrib.auth import get_user_model
user, _ = get_user_model().objects.get_or_create(username="admin", is_staff=True, is_superuser=True)
user.set_password(os.environ["DJANGO_SUPERUSER_PASSWORD"])
user.save()
"""

if __name__ == "__main__":
    sys.exit(main())
