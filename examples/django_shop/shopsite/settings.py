"""Settings of the example. run.py sets the three variables; a real project has its own way of keeping secrets."""

import os
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

HOME = Path(os.environ.get("SHOP_HOME", "."))
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "only for makemigrations")
_database = conninfo_to_dict(os.environ.get("SHOP_DSN", "dbname=shop"))

DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "imgvec_pg.django",
    "shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "shopsite.urls"
TEMPLATES = [
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
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database["dbname"],
        "HOST": _database.get("host", ""),
        "PORT": _database.get("port", ""),
        "USER": _database.get("user", ""),
        "OPTIONS": {"pool": True},
    }
}
MEDIA_ROOT = HOME / "media"
MEDIA_URL = "media/"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
# The largest upload that is read; Django keeps larger ones than the second in a file meanwhile.
DATA_UPLOAD_MAX_MEMORY_SIZE = 9 << 20
FILE_UPLOAD_MAX_MEMORY_SIZE = 4 << 20
