"""Names of models of the hub: hf-hub:org/name and transformers:org/name, with @REVISION; transformers:/path for a folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from imgvec_pg.errors import ModelNotFoundError

HF_HUB_PREFIX = "hf-hub:"
"""OpenCLIP's own word for a repository of the hub with an open_clip_config.json."""
TRANSFORMERS_PREFIX = "transformers:"
_REPOSITORY = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w][\w./-]*))?", re.ASCII
)


@dataclass(frozen=True)
class HubName:
    """A model of the hub, or of a folder that has what a repository has.

    Attributes:
        text: The whole name, as users type it.
        repository: "organisation/name"; "" for a folder.
        revision: A branch, a tag or a commit; "" for what this machine has, else the newest.
        folder: None for a repository.
    """

    text: str
    repository: str = ""
    revision: str = ""
    folder: Path | None = None

    @property
    def is_open_clip(self) -> bool:
        """Whether OpenCLIP builds the network, and not transformers."""
        return self.text.startswith(HF_HUB_PREFIX)


def is_hub_name(name: str) -> bool:
    """Whether a model's name is of this kind."""
    return name.startswith((HF_HUB_PREFIX, TRANSFORMERS_PREFIX))


def parse_hub_name(name: str) -> HubName:
    """Take a name apart.

    Raises:
        ModelNotFoundError: It names neither a repository nor a folder.
    """
    prefix, _, rest = name.partition(":")
    if prefix == TRANSFORMERS_PREFIX[:-1] and rest.startswith(("/", "./", "../", "~")):
        return HubName(name, folder=Path(rest).expanduser().absolute())
    found = _REPOSITORY.fullmatch(rest)
    if found is None or ".." in rest:
        folder = ", or transformers:/path/to/folder" if prefix == TRANSFORMERS_PREFIX[:-1] else ""
        raise ModelNotFoundError(
            f"{name!r} names no repository of the hub: write {prefix}:organisation/name, with @REVISION for one of its "
            f"commits{folder}"
        )
    return HubName(name, found["repository"], found["revision"] or "")
