"""What every layer and every allocation costs: hot_path_bench, many times over, against what it must be.

Each repetition runs a call until its time is steady; a figure is the median of the repetitions. Takes about a minute.
"""
import json
import subprocess
from pathlib import Path

import common

# The benchmark's name, what it is, must and aim, in nanoseconds.
CALLS = [("AddLayerWithNothingToDo", "add_layer with nothing to do", 1000, 200),
         ("MatchedAllocationAndFree", "matched allocation and free of 1 MiB", 100, 30),
         ("MallocAndFree", "malloc and free of the same, untouched", None, None)]


def main() -> int:
    p = common.parser(__doc__)
    flags = p.parse_args()
    repetitions = 2 if flags.quick else flags.pairs
    measured = Path(flags.out) / "hot-path.measured.json"
    measured.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([f"{flags.bin}/hot_path_bench", f"--benchmark_repetitions={repetitions}",
                    "--benchmark_report_aggregates_only=true", f"--benchmark_out={measured}",
                    "--benchmark_out_format=json"], check=True)
    medians = {b["run_name"]: b["real_time"] for b in json.loads(measured.read_text())["benchmarks"]
               if b.get("aggregate_name") == "median" and b["time_unit"] == "ns"}
    measured.unlink()
    figures = [common.Figure(what, medians[name], must, aim, unit=" ns") for name, what, must, aim in CALLS]
    return common.report(flags, "hot-path", figures, repetitions)


if __name__ == "__main__":
    raise SystemExit(main())
