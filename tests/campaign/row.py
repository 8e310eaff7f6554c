"""What one part of the campaign found: a line of its table, and what repeats each failure."""

from __future__ import annotations

from dataclasses import dataclass

HEADING = """| part | tried | faults injected | lost | deaths | leaks |
|---|---|---:|---:|---:|---:|"""


@dataclass(frozen=True)
class Row:
    """What one part tried, and what of it went wrong.

    Attributes:
        part: The part's name, as the command takes it.
        tried: What was tried, in numbers: "10,000 GGUF files, 2,000 splits".
        injected: How many faults were injected, hostile inputs included.
        lost: Finished measurements that were lost, and times that damaged data was used.
        deaths: Tracebacks, signals that nobody sent, and hangs, of the app or of the CLI.
        leaks: Reads or writes outside their places, tokens told, and escapes that reached a terminal.
        details: A line for each failure, with the seed and the number that repeat it.
    """

    part: str
    tried: str
    injected: int
    lost: int = 0
    deaths: int = 0
    leaks: int = 0
    details: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return self.lost == self.deaths == self.leaks == 0

    def markdown(self) -> str:
        """The line of the table, under `HEADING`."""
        numbers = (self.injected, self.lost, self.deaths, self.leaks)
        return f"| {self.part} | {self.tried} | {' | '.join(f'{number:,}' for number in numbers)} |"
