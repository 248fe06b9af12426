"""README.md as the distributions' description: on a package index, relative links and images would lead nowhere.

hatchling runs it (pyproject.toml: [tool.hatch.metadata.hooks.custom]), where nothing of the project can be imported.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(?P<image>!?)\[(?P<shown>[^]]*)]\((?P<target>[^)\s]+)\)")
BRANCH = "main"


def absolute_links(text: str, repository: str, root: Path) -> str:
    """Return Markdown whose relative links lead into a repository on GitHub.

    Args:
        repository: "https://github.com/owner/name".
        root: The folder of `text`, in which the links' targets are.

    Raises:
        ValueError: A target is missing.
    """

    def absolute(found: re.Match[str]) -> str:
        target = found["target"]
        if target.startswith("#") or "://" in target:
            return found[0]
        place = root / target.partition("#")[0]
        if not place.exists():
            raise ValueError(
                f"README.md links to {target}, which does not exist; expected a path from its folder"
            )
        kind = "raw" if found["image"] else "tree" if place.is_dir() else "blob"
        return f"{found['image']}[{found['shown']}]({repository}/{kind}/{BRANCH}/{target})"

    return LINK.sub(absolute, text)


class ReadmeLinks(MetadataHookInterface):
    """Sets the distributions' description."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme`."""
        root = Path(self.root)
        text = absolute_links(
            (root / "README.md").read_text(encoding="utf-8"), metadata["urls"]["Source"], root
        )
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
