"""The demo and examples 03 and 04 at 20%, 35% and 50% (or 1.1x the widest layer where that is more) against a lower bound.

The bound is the longer of the fastest all-DRAM step and the least bytes that any plan must move (least_bytes.py: a linear
program over the trace of the same run) over the bandwidth of the slow folder with both directions at once, measured just
before by the better of fio and the file tier. Needs Python's SciPy. About 13 minutes a program at 15 pairs.
"""
import os
from pathlib import Path

import common
import file_tier
import least_bytes

PROGRAMS = {"demo": "", "resnet": "03_libtorch_resnet", "transformer": "04_libtorch_transformer"}
SMALL = {"resnet": ["--width", "16"], "transformer": ["--batch", "4"]}


def mixed_bandwidth(flags) -> float:
    flags.depth, flags.block, flags.bytes, flags.seconds = 32, 2 << 20, 512 << 20, 2
    folder = flags.slow.removeprefix("file:")
    file = os.path.join(folder, f"thermocline-bench-{os.getpid()}.fio")
    try:
        return max(file_tier.ours(flags, "mixed", folder), file_tier.fio(flags, "mixed", file))
    finally:
        if os.path.exists(file):
            os.unlink(file)


def main() -> int:
    p = common.parser(__doc__)
    p.add_argument("--programs", default=",".join(PROGRAMS), help="which, separated by commas")
    p.add_argument("--budgets", default="50,35,20", help="percent of the peak")
    flags = p.parse_args()
    figures, details, pairs = [], {}, 0
    for program in flags.programs.split(","):
        bandwidth = mixed_bandwidth(flags)
        budgets = [int(b) for b in flags.budgets.split(",")]
        rows = [f"thermocline-{b}" for b in budgets]
        arguments = SMALL.get(program, []) if flags.quick else []
        name = f"examples-{program}"
        # A first short run says where the widest layer lies, and with it the least budget.
        first = common.run_rows(flags, name, ["thermocline-100"], PROGRAMS[program], arguments, pairs=1)
        floor = least_bytes.floor_bytes(least_bytes.read(Path(flags.out) / name / "thermocline-100.trace.json"))
        least = -(-110 * floor // first["peak_bytes"])
        budgets = sorted({max(b, least) for b in budgets}, reverse=True)
        rows = [f"thermocline-{b}" for b in budgets]
        result = common.run_rows(flags, name, common.ALLOCATORS + rows, PROGRAMS[program], arguments)
        runs = result["by_name"]
        base = common.fastest_allocator(runs)
        for b in budgets:
            run = runs[f"thermocline-{b}"]
            trace = least_bytes.read(Path(flags.out) / name / f"thermocline-{b}.trace.json")
            solved = least_bytes.solve(trace, result["peak_bytes"] * b // 100)
            moving = (solved["bytes_in"] + solved["bytes_out"]) / bandwidth
            # The bound of each round: its own all-DRAM step, or the link.
            ratios = [a / max(c, moving) for a, c in zip(common.rounds(run, flags.counted),
                                                         common.rounds(runs[base], flags.counted))]
            low, high = common.interval(ratios)
            pairs = len(ratios)
            moved = run["bytes_in_per_step"] + run["bytes_out_per_step"]
            figures.append(common.Figure(
                f"{program} at {b}% over its bound", common.median(ratios), 1.15, 1.05,
                note=f"[{low:.3f}, {high:.3f}], DRAM {runs[base]['seconds_per_step_median']:.2f} s, link {moving:.2f} s; "
                     f"moves {moved / max(1, solved['bytes_in'] + solved['bytes_out']):.2f}x the least"))
            details[f"{program}-{b}"] = {"least": solved, "link_seconds": moving, "bandwidth": bandwidth, "ratios": ratios,
                                         "moved": moved, "floor_bytes": floor, "fastest": base}
    return common.report(flags, "examples", figures, pairs, details=details)


if __name__ == "__main__":
    raise SystemExit(main())
