"""One Django project in this process, on a database that is made for it."""

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict


def set_up(dsn: str) -> None:
    """Configure Django once."""
    parts = conninfo_to_dict(dsn)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"],
        "USER": parts["user"],
        "HOST": parts["host"],
        "PORT": parts.get("port", ""),
        "PASSWORD": parts.get("password", ""),
    }
    settings.configure(
        DATABASES={"default": database, "pooled": {**database, "OPTIONS": {"pool": True}}},
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "imgvec_pg.django",
            "gallery",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        ROOT_URLCONF="gallery.urls",
        MIGRATION_MODULES={"gallery": None},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        SECRET_KEY="tests",
        ALLOWED_HOSTS=["testserver"],
        STATIC_URL="static/",
        USE_TZ=True,
        IMGVEC={"EMBED": "process"},
    )
    django.setup()
