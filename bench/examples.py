"""The demo and examples 01 to 05 at 50%, 35% and 20%, or 1.1x the widest layer where that is more, against a lower bound.

The bound is the longer of the fastest all-DRAM step and the least bytes that any plan must move over the bandwidth of the
slow folder with both directions at once. The bytes come from a linear program over the same program's trace
(least_bytes.py), the bandwidth from the better of fio and the file tier, just before. Needs Python's SciPy, and for
example 05 a Python that imports torch.

The demo, 03, 04 and 05 (python_steps.py) are processes that take turns of a few steps. 01 and 02 can't be halted between
steps: each round runs each of them once, from start to end, and counts the last steps. At 15 pairs about 13 minutes for
each of the demo, 03 and 04, and 5 for each of the others.

--beside-traffic says as well what the machine itself takes for the bytes: after a program's rows, its all-DRAM step beside
fio moving the least bytes of each budget, over the same step alone (traffic.py; about 5 minutes more a program).
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import common
import file_tier
import least_bytes
import traffic

TABLE = {"demo": "", "resnet": "03_libtorch_resnet", "transformer": "04_libtorch_transformer"}
WHOLE = {"hooks": "01_c_hooks", "cpp": "02_cpp_api"}
PROGRAMS = [*TABLE, *WHOLE, "python"]
SMALL = {"resnet": ["--width", "16"], "transformer": ["--batch", "4"]}
# As examples/demo/row.cc has them.
LIBRARIES = {"glibc": "", "tcmalloc": "libtcmalloc_minimal.so.4", "jemalloc": "libjemalloc.so.2", "mimalloc": "libmimalloc.so.2"}
# Of a whole run: the profiled step and the placed steps after which it plans again come first.
WARMUP, COUNTED = 10, 6
# Steps that show the rhythm of an unmarked program, one that is profiled, and placed ones until it plans no more.
PYTHON_WARMUP = 20


class Rows(NamedTuple):
    """What was measured of a program."""
    peak: int
    seconds: dict[str, list[float]]  # a step's, round by round, of each allocator and each budget ("20")
    traces: dict[int, dict]          # by budget, in percent of the peak
    moved: dict[int, float]          # bytes a step


def mixed_bandwidth(flags) -> float:
    flags.depth, flags.block, flags.bytes, flags.seconds = 32, 2 << 20, 512 << 20, 2
    folder = flags.slow.removeprefix("file:")
    file = os.path.join(folder, f"thermocline-bench-{os.getpid()}.fio")
    try:
        return max(file_tier.ours(flags, "mixed", folder), file_tier.fio(flags, "mixed", file))
    finally:
        if os.path.exists(file):
            os.unlink(file)


def possible(budgets: list[int], trace: dict, peak: int) -> list[int]:
    least = -(-110 * least_bytes.floor_bytes(trace) // peak)
    return sorted({max(b, least) for b in budgets}, reverse=True)


def moved_per_step(run_log: Path) -> float:
    steps = json.loads(run_log.read_text())["steps"][-COUNTED:]
    return common.median([s.get("bytes_in", 0) + s.get("bytes_out", 0) for s in steps])


def in_turns(flags, folder: str, kind: str, budgets: list[int], program: str, arguments: list[str],
             warmup: int) -> dict:
    """demo_table's runs, the budgets' by their percent; ends the benchmark where losses differ."""
    rows = common.ALLOCATORS + [f"{kind}-{b}" for b in budgets]
    result = common.run_rows(flags, folder, rows, program, arguments, warmup=warmup)
    runs = {name.removeprefix(f"{kind}-"): run for name, run in result["by_name"].items()}
    other = [name for name, run in runs.items() if not run["losses_equal"]]
    if other:
        sys.exit(f"{folder}: other losses than glibc's in {', '.join(other)}")
    return {**result, "by_name": runs}


def marked(flags, program: str, budgets: list[int]) -> Rows:
    arguments = SMALL.get(program, []) if flags.quick else []
    name = f"examples-{program}"
    out = Path(flags.out) / name
    # A first short run says where the widest layer lies, and with it the least budget.
    first = common.run_rows(flags, name, ["thermocline-100"], TABLE[program], arguments, pairs=1)
    budgets = possible(budgets, least_bytes.read(out / "thermocline-100.trace.json"), first["peak_bytes"])
    result = in_turns(flags, name, "thermocline", budgets, TABLE[program], arguments, warmup=3)
    runs = result["by_name"]
    return Rows(result["peak_bytes"], {row: common.rounds(run, flags.counted) for row, run in runs.items()},
                {b: least_bytes.read(out / f"thermocline-{b}.trace.json") for b in budgets},
                {b: runs[str(b)]["bytes_in_per_step"] + runs[str(b)]["bytes_out_per_step"] for b in budgets})


def python(flags, _: str, budgets: list[int]) -> Rows:
    # The pause between turns falls into a step, as nobody marks where one ends. Were it in each second step, plans would
    # take it for time that the step gives them.
    flags = argparse.Namespace(**{**vars(flags), "counted": max(3, flags.counted)})
    out = (Path(flags.out) / "examples-python").absolute()
    out.mkdir(parents=True, exist_ok=True)
    stepped = out / "train"
    here = Path(__file__).absolute().parent
    stepped.write_text(f"#!{Path(flags.python).absolute()}\n" + (here / "python_steps.py").read_text())
    stepped.chmod(0o755)
    arguments = ["--script", str(here.parent / "examples/05_run_python/train.py"), "--save", str(out)]
    # As its README runs it; its trace says what the tensors come to.
    fast = 64 << 20
    command = [f"{flags.bin}/thermocline", "run", "--quiet", "--fast", str(fast), "--slow", flags.slow, "--",
               str(stepped), "--lockstep", "--steps", str(PYTHON_WARMUP), *arguments]
    subprocess.run(command, check=True, input=f"{PYTHON_WARMUP}\n", text=True, stdout=subprocess.DEVNULL)
    trace = least_bytes.read(out / f"{fast}.trace.json")
    peak = trace["peak_bytes"]
    budgets = possible(budgets, trace, peak)
    result = in_turns(flags, "examples-python", "unmarked", budgets, str(stepped), [*arguments, "--peak", str(peak)],
                      PYTHON_WARMUP)
    return Rows(peak, {row: common.rounds(run, flags.counted) for row, run in result["by_name"].items()},
                {b: trace for b in budgets},
                {b: moved_per_step(out / f"{peak * b // 100}.runlog") for b in budgets})


def environment(row: str) -> dict[str, str] | None:
    """What makes an allocator of a program that links Thermocline; None where its library is not installed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("THERMOCLINE", "LD_PRELOAD", "MALLOC_"))}
    if row not in LIBRARIES:
        return kept
    kept["THERMOCLINE"] = "off"
    if LIBRARIES[row]:
        known = subprocess.run(["/sbin/ldconfig", "-p"], check=True, stdout=subprocess.PIPE, text=True).stdout
        if LIBRARIES[row] not in known:
            return None
        kept["LD_PRELOAD"] = LIBRARIES[row]
    return kept


def run_whole(command: list[str], env: dict[str, str], counted: int = COUNTED) -> tuple[float, list[str]]:
    """Seconds of a step, the median of the last ones, and what was said of them; a step ends where its line comes."""
    ends, lines = [], []
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        for line in child.stdout:
            if line.startswith("step "):
                ends.append(time.monotonic())
                lines.append(line)
    if child.returncode != 0:
        sys.exit(f"examples: {' '.join(command)} ended with {child.returncode}")
    if len(ends) <= counted:
        sys.exit(f"examples: {' '.join(command)} said that {len(ends)} steps ended; more than {counted} are counted")
    return common.median([b - a for a, b in zip(ends, ends[1:])][-counted:]), lines


def whole(flags, program: str, budgets: list[int]) -> Rows:
    out = Path(flags.out) / f"examples-{program}"
    out.mkdir(parents=True, exist_ok=True)
    command = [f"{flags.bin}/{WHOLE[program]}", "--slow", flags.slow]
    profile = out / "trace.json"
    run_whole([*command, "--profile", str(profile)], environment(""))
    trace = least_bytes.read(profile)
    budgets = possible(budgets, trace, trace["peak_bytes"])
    environments = {row: environment(row) for row in [*LIBRARIES, *map(str, budgets)]}
    rows = [row for row, env in environments.items() if env is not None]
    seconds: dict[str, list[float]] = {row: [] for row in rows}
    said: list[str] = []
    for turn in range(2 if flags.quick else flags.pairs):
        for i in range(len(rows)):
            row = rows[(i + turn) % len(rows)]
            more = ["--steps", str(1 + COUNTED)]
            if row not in LIBRARIES:
                more = ["--steps", str(WARMUP + COUNTED), "--run-log", str(out / f"{row}.runlog"), "--fast",
                        str(trace["peak_bytes"] * int(row) // 100)]
            took, lines = run_whole([*command, *more], environments[row])
            seconds[row].append(took)
            if lines[: len(said)] != said[: len(lines)]:
                sys.exit(f"examples: {program} gives other results in the row {row}: {lines}, and {said}")
            said = max(said, lines, key=len)
            print(f"round {turn + 1}: {program} {row:>9} {took:.4f} s a step", file=sys.stderr, flush=True)
    return Rows(trace["peak_bytes"], seconds, {b: trace for b in budgets},
                {b: moved_per_step(out / f"{b}.runlog") for b in budgets})


def judge(program: str, rows: Rows, bandwidth: float) -> tuple[list[common.Figure], dict, int]:
    """Each budget against its bound; the details; how many pairs."""
    figures, details, pairs = [], {}, 0
    base = min((a for a in common.ALLOCATORS if a in rows.seconds), key=lambda a: common.median(rows.seconds[a]))
    for b, trace in rows.traces.items():
        solved = least_bytes.solve(trace, rows.peak * b // 100)
        least = solved["bytes_in"] + solved["bytes_out"]
        moving = least / bandwidth
        # The bound of each round: its own all-DRAM step, or the link.
        ratios = [a / max(c, moving) for a, c in zip(rows.seconds[str(b)], rows.seconds[base])]
        low, high = common.interval(ratios)
        pairs = len(ratios)
        figures.append(common.Figure(
            f"{program} at {b}% over its bound", common.median(ratios), 1.15, 1.05,
            note=f"[{low:.3f}, {high:.3f}], DRAM {common.median(rows.seconds[base]):.2f} s, link {moving:.2f} s; "
                 f"moves {rows.moved[b] / max(1, least):.2f}x the least"))
        details[f"{program}-{b}"] = {"least": solved, "link_seconds": moving, "bandwidth": bandwidth, "ratios": ratios,
                                     "moved": rows.moved[b], "floor_bytes": least_bytes.floor_bytes(trace),
                                     "bound_seconds": max(common.median(rows.seconds[base]), moving), "fastest": base}
    return figures, details, pairs


def stepping(flags, program: str):
    """A function that lets the program compute a few steps on tcmalloc, for their median in seconds; and what ends it."""
    if program in WHOLE:
        command = [f"{flags.bin}/{WHOLE[program]}", "--steps", str(1 + COUNTED)]
        return lambda: run_whole(command, environment("tcmalloc"))[0], lambda: None
    run = traffic.Lockstep(flags, program)
    run.steps(3)
    return lambda: run.steps(1 + flags.counted), run.end


def tell_traffic(flags, program: str, figures: list[common.Figure], details: dict) -> None:
    """Adds to each budget's figure and details what the least bytes cost the all-DRAM step, whoever moves them."""
    least = [d["least"]["bytes_in"] + d["least"]["bytes_out"] for d in details.values()]
    rates = [bytes_ / 2 / d["bound_seconds"] for bytes_, d in zip(least, details.values())]
    moved = sorted({rate for rate in rates if rate > 0})
    if not moved:
        return
    steps, end = stepping(flags, program)
    rows = traffic.measure(program, steps, traffic.file_in(flags.slow), moved, 2 if flags.quick else flags.pairs)
    end()
    for figure, rate, detail in zip(figures, rates, details.values()):
        ratios = [a / b for a, b in zip(rows[rate], rows[0.0])] if rate > 0 else []
        detail["beside_traffic"] = {"bytes_per_second_each_way": rate, "ratios": ratios}
        if ratios:
            low, high = common.interval(ratios)
            figure.note += f"; DRAM beside those bytes {common.median(ratios):.3f}x [{low:.3f}, {high:.3f}]"


def main() -> int:
    p = common.parser(__doc__)
    p.add_argument("--programs", default=",".join(PROGRAMS), help="which, separated by commas")
    p.add_argument("--budgets", default="50,35,20", help="percent of the peak")
    p.add_argument("--python", default=".deps/python/bin/python3", help="for example 05: a Python that imports torch")
    p.add_argument("--beside-traffic", action="store_true", help="what the same bytes cost the all-DRAM step, too")
    flags = p.parse_args()
    programs = flags.programs.split(",")
    if not set(programs) <= set(PROGRAMS):
        p.error(f"--programs: there are {', '.join(PROGRAMS)}")
    figures, details, pairs = [], {}, []
    for program in programs:
        bandwidth = mixed_bandwidth(flags)
        measure = marked if program in TABLE else whole if program in WHOLE else python
        try:
            rows = measure(flags, program, [int(b) for b in flags.budgets.split(",")])
        except (SystemExit, OSError, subprocess.CalledProcessError) as failure:
            # What the others take minutes to measure is not lost for it.
            figures.append(common.Figure(f"{program} failed", None, 1.15, note=str(failure)))
            continue
        more, seen, count = judge(program, rows, bandwidth)
        if flags.beside_traffic:
            tell_traffic(flags, program, more, seen)
        figures += more
        details |= seen
        pairs.append(count)
    return common.report(flags, "examples", figures, min(pairs, default=0), details=details)


if __name__ == "__main__":
    raise SystemExit(main())
