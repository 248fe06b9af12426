"""A line of the table: a ratio by the clock and by processor time, and the target that it meets or misses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One figure.

    Attributes:
        row: Of the issue's table.
        ratio: By the clock; None where only processor time tells.
        cpu_ratio: By processor time, which a busy machine changes less; None where there is none.
        target: What the ratio by the clock must reach, or that by processor time where there is none.
        is_right: False where the numbers themselves are wrong, whatever the speed.
        reason: Why it was not measured; "" where it was.
    """

    row: int
    what: str
    figures: str
    ratio: float | None
    cpu_ratio: float | None
    target: float
    less_is_better: bool = False
    is_right: bool = True
    reason: str = ""

    @classmethod
    def missing(cls, row: int, what: str, reason: str) -> "Result":
        """Return the line of what was not measured."""
        return cls(row, what, "", None, None, 0.0, reason=reason)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where nothing was measured."""
        if self.reason:
            return None
        value = self.ratio if self.ratio is not None else self.cpu_ratio
        assert value is not None
        return self.is_right and (value <= self.target if self.less_is_better else value >= self.target)

    def line(self) -> str:
        """Return the line."""
        if self.reason:
            return f"{self.row:>3}  {self.what}: not measured: {self.reason}"
        sign = "<=" if self.less_is_better else ">="
        shown = [f"{value:.2f}" if value is not None else "-" for value in (self.ratio, self.cpu_ratio)]
        met = "met" if self.is_met else "SHORT"
        return f"{self.row:>3}  {self.what:106} {self.figures:>26} {shown[0]:>8} {shown[1]:>8}  {sign} {self.target:<5g} {met}"
