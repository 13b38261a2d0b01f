"""What the benchmarks share: rows that take turns, pairs of rounds, verdicts, a table and JSON that is whole or not there.

A round gives each row a turn of a few steps, of which the first is not counted (the mover worked while others computed).
Two rows are compared round by round: each round gives one ratio, and what is reported is the ratios' median, with the
interval that holds the median of such ratios in 19 of 20 cases (from the order of the ratios: no distribution assumed).
"""
from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LEAST_PAIRS = 15
ALLOCATORS = ["glibc", "tcmalloc", "jemalloc", "mimalloc"]


def median(values: list[float]) -> float:
    ordered = sorted(values)
    n = len(ordered)
    return math.nan if n == 0 else (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def interval(values: list[float]) -> tuple[float, float]:
    """The order statistics between which the median lies with 95% confidence; the extremes where there are too few."""
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        return math.nan, math.nan
    below, k = 0.5**n, 0
    while k + 1 <= n // 2 and below <= 0.025:
        k += 1
        below += math.comb(n, k) * 0.5**n
    k = max(0, k - 1)
    return ordered[k], ordered[n - 1 - k]


def rounds(run: dict, counted: int) -> list[float]:
    """A row's seconds per step, round by round."""
    seconds = run["seconds_per_step"]
    return [median(seconds[i : i + counted]) for i in range(0, len(seconds) - counted + 1, counted)]


def paired(run: dict, base: dict, counted: int) -> dict:
    ratios = [a / b for a, b in zip(rounds(run, counted), rounds(base, counted))]
    low, high = interval(ratios)
    return {"median": median(ratios), "low": low, "high": high, "pairs": len(ratios), "ratios": ratios}


def fastest_allocator(runs: dict[str, dict]) -> str:
    return min((name for name in ALLOCATORS if name in runs), key=lambda name: runs[name]["seconds_per_step_median"])


class Figure:
    """One line of the table: what was measured, what it must be at most (or at least), and what it was."""

    def __init__(self, what: str, measured: float | None, must: float | None, aim: float | None = None, unit: str = "x",
                 at_least: bool = False, note: str = "", held: bool | None = None):
        self.what, self.measured, self.must, self.aim = what, measured, must, aim
        self.unit, self.at_least, self.note = unit, at_least, note
        self.held = held
        if held is None and must is not None:
            self.held = measured is not None and (measured >= must if at_least else measured <= must)

    def json(self) -> dict:
        return {k: v for k, v in vars(self).items() if v not in (None, "")}

    def line(self) -> str:
        def number(value: float | None) -> str:
            return "-" if value is None or math.isnan(value) else f"{value:.4g}{self.unit}"

        sign = ">=" if self.at_least else "<="
        must = "-" if self.must is None else f"{sign} {number(self.must)}"
        held = {True: "yes", False: "NO", None: ""}[self.held]
        return f"{self.what:<52} {must:>12} {number(self.aim):>9} {number(self.measured):>10}  {held:<4} {self.note}"


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, suffix=".part") as file:
        json.dump(value, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def report(flags: argparse.Namespace, name: str, figures: list[Figure], pairs: int, needs: int = LEAST_PAIRS,
           **details) -> int:
    decided = pairs >= needs and not flags.quick
    print(f"\n{name}: {pairs} {'pairs' if pairs != 1 else 'run'}" + ("" if decided else f" (fewer than {needs} or a small net: decides nothing)"))
    print(f"{'':<52} {'must':>12} {'aim':>9} {'measured':>10}  held")
    for figure in figures:
        print(figure.line())
    value = {"benchmark": name, "decided": decided, "pairs": pairs, "figures": [f.json() for f in figures], **details}
    path = Path(flags.out) / f"{name}.json"
    write_json(path, value)
    print(f"Written to {path}")
    return 0 if all(f.held is not False for f in figures) or not decided else 1


def parser(text: str | None, pairs: int = LEAST_PAIRS) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default="build/bin", help="folder of the built programs")
    p.add_argument("--out", default="build/bench", help="folder for the JSON")
    p.add_argument("--slow", default="file:/var/tmp", help="slow tier, file:DIR")
    p.add_argument("--pairs", type=int, default=pairs, help="rounds")
    p.add_argument("--counted", type=int, default=2, help="counted steps a turn")
    p.add_argument("--quick", action="store_true", help="a small net and two rounds: whether it works, decides nothing")
    return p


def run_rows(flags: argparse.Namespace, name: str, rows: list[str], program: str = "", arguments: list[str] = [],
             pairs: int | None = None, warmup: int = 3) -> dict:
    """Lets demo_table run the rows; its result with the runs by name. Raises when a row that should run did not."""
    folder = Path(flags.out) / name
    turns = 2 if flags.quick else (pairs or flags.pairs)
    command = [f"{flags.bin}/demo_table", "--out", str(folder), "--rows", ",".join(rows), "--slow", flags.slow,
               "--turns", str(turns), "--steps", str(flags.counted), "--time-limit", "1e9", "--warmup", str(warmup)]
    if program:
        command += ["--program", program]
        for argument in arguments:
            command += [f"--program-argument={argument}"]
    elif flags.quick:
        command += ["--width", "32"]
    status = subprocess.run(command, check=False).returncode
    path = folder / "result.json"
    if status not in (0, 1) or not path.exists():
        sys.exit(status or 1)
    result = json.loads(path.read_text())
    result["by_name"] = {run["name"]: run for run in result["runs"]}
    for skipped in result["skipped"]:
        if skipped["failed"] and skipped["name"] in ALLOCATORS[1:]:
            # Another allocator's crash leaves the fastest of the rest; it is said, and stands in the result.
            print(f"{name}: without {skipped['name']}: {skipped['reason']}", file=sys.stderr)
        elif skipped["failed"]:
            sys.exit(f"{name}: the row {skipped['name']} failed: {skipped['reason']}")
    return result
