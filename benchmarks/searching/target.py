"""A measured figure beside its target."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A figure and the bound it is held to; a figure of None was not measured, and says why.

    Attributes:
        at_most: The figure must not be above the bound, else not below it. No bound: told only.
    """

    part: str
    name: str
    figure: float | None
    bound: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        """Return "reached", "missed", "not measured" or "told"."""
        if self.figure is None:
            return "not measured"
        if self.bound is None:
            return "told"
        return (
            "reached"
            if (self.figure <= self.bound) == self.at_most or self.figure == self.bound
            else "missed"
        )

    def line(self) -> str:
        """Return the figure, its target and the verdict for people."""
        figure = "-" if self.figure is None else f"{self.figure:.4g}"
        bound = "" if self.bound is None else f"{'<=' if self.at_most else '>='} {self.bound:g}"
        return f"{self.part:9} {self.name:72} {figure:>9}  {bound:9} {self.verdict}{'; ' if self.note else ''}{self.note}"
