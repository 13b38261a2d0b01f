"""The profiled step against the LRU step at the same budget, each pair two processes, one after the other.

A process has one profiled step, its second. About 40 s a pair; 10 minutes at 15 pairs.
"""
import json
import subprocess
from pathlib import Path

import common


def steps(flags, *arguments: str) -> list[dict]:
    out = Path(flags.out) / "profiled-step.run.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [f"{flags.bin}/thermocline_demo", *arguments, "--json", str(out)]
    if flags.quick:
        command += ["--width", "32"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    value = json.loads(out.read_text())
    out.unlink()
    return value["steps"]


def main() -> int:
    p = common.parser(__doc__)
    p.add_argument("--budget", type=int, default=20, help="percent of the peak")
    flags = p.parse_args()
    budget = steps(flags, "--steps", "1")[0]["peak_bytes"] * flags.budget // 100
    ours = ["--allocator", "thermocline", "--slow", flags.slow, "--fast", str(budget), "--planner"]
    ratios, seconds = [], []
    for pair in range(2 if flags.quick else flags.pairs):
        profiled = steps(flags, *ours, "lookahead", "--steps", "2")[1]["seconds"]
        lru = common.median([s["seconds"] for s in steps(flags, *ours, "lru", "--steps", "5")[2:]])
        ratios.append(profiled / lru)
        seconds.append([profiled, lru])
        print(f"pair {pair + 1}: profiled {profiled:.2f} s, LRU {lru:.2f} s", flush=True)
    low, high = common.interval(ratios)
    figure = common.Figure(f"profiled step over LRU step at {flags.budget}%", common.median(ratios), 4, 1.5,
                           note=f"[{low:.2f}, {high:.2f}]")
    return common.report(flags, "profiled-step", [figure], len(ratios), seconds=seconds)


if __name__ == "__main__":
    raise SystemExit(main())
