"""From which size on an allocation is placed: step time and share of the bytes placed, for several thresholds.

The demo's net, at half its width, unmodified under `thermocline run` at 20% of its peak, a process each, the thresholds
in turns. A low threshold places more, and pays for matching small allocations; a high one leaves bytes outside of the
budget. The default is the one that loses least. About 8 minutes at 5 rounds.
"""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import common

THRESHOLDS = ["4KiB", "16KiB", "64KiB", "256KiB", "1MiB", "4MiB"]
DEFAULT = "256KiB"


def run(flags, budget: int, threshold: str, network: list[str]) -> dict:
    folder = Path(flags.out) / "threshold"
    folder.mkdir(parents=True, exist_ok=True)
    out, stats = folder / "run.json", folder / "stats.json"
    command = [f"{flags.bin}/thermocline", "run", "--quiet", "--fast", str(budget), "--slow", flags.slow, "--threshold",
               threshold, "--stats", str(stats), "--", f"{flags.bin}/thermocline_demo", "--steps", str(flags.steps),
               "--json", str(out), *network]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    steps = json.loads(out.read_text())["steps"]
    placed = max((json.loads(line) for line in stats.read_text().splitlines()), key=lambda s: s["peak_live_bytes"])
    return {"seconds": common.median([s["seconds"] for s in steps[-flags.steps // 3 :]]),
            "placed": placed["peak_live_bytes"], "rhythm": placed.get("rhythm", {}).get("placed_steps", 0)}


def main() -> int:
    p = common.parser(__doc__, pairs=5)
    p.add_argument("--budget", type=int, default=20, help="percent of the peak")
    p.add_argument("--width", type=int, default=32, help="channels of the first stage")
    p.add_argument("--steps", type=int, default=15, help="steps a process; the last third counts")
    flags = p.parse_args()
    network = ["--width", str(flags.width)]
    out = Path(flags.out) / "threshold.peak.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([f"{flags.bin}/thermocline_demo", "--steps", "1", "--json", str(out), *network], check=True,
                   stdout=subprocess.DEVNULL)
    peak = json.loads(out.read_text())["steps"][0]["peak_bytes"]
    out.unlink()
    rounds = 2 if flags.quick else flags.pairs
    seen: dict[str, list[dict]] = {threshold: [] for threshold in THRESHOLDS}
    for turn in range(rounds):
        for i in range(len(THRESHOLDS)):
            threshold = THRESHOLDS[(i + turn) % len(THRESHOLDS)]
            seen[threshold].append(run(flags, peak * flags.budget // 100, threshold, network))
            print(f"round {turn + 1}: {threshold:>6} {seen[threshold][-1]['seconds']:.3f} s a step", flush=True)
    figures = []
    for threshold in THRESHOLDS:
        ratios = [a["seconds"] / b["seconds"] for a, b in zip(seen[threshold], seen[DEFAULT])]
        low, high = common.interval(ratios)
        placed = common.median([float(s["placed"]) for s in seen[threshold]])
        figures.append(common.Figure(f"{threshold} over {DEFAULT}", common.median(ratios), None,
                                     note=f"[{low:.3f}, {high:.3f}], places {placed / 1e6:.1f} MB at once of {peak / 1e6:.1f} MB"))
    return common.report(flags, "threshold", figures, rounds, needs=5, seen=seen, peak_bytes=peak, cores=os.cpu_count())


if __name__ == "__main__":
    raise SystemExit(main())
