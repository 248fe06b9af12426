"""Column values as people and programs read them."""

import json
import re
from decimal import Decimal
from typing import Any

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def show_value(value: object) -> str:
    """Return a value as text: "" for NULL, JSON for arrays and objects."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(plain_value(value), ensure_ascii=False)
    return str(value)


def times(copies: int) -> str:
    """Return "× 12" for a picture that twelve rows have; "" for one row's own."""
    return f"× {copies:,}" if copies > 1 else ""


def show_safely(value: object) -> str:
    """Return a value as text with its control characters escaped, which a terminal would obey."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], show_value(value))


def plain_value(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON value whose numbers are int and float."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {name: plain_value(item) for name, item in value.items()}
    return value
