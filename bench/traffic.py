"""What disk traffic costs a step that takes no part in it: a machine's own price for moving bytes beside computing.

The fastest all-DRAM step (tcmalloc) of the demo and examples 03 to 05, with and without fio moving bytes beside it,
in turns. Where a virtual machine's disk is served by the same processors (as by a host that counts both as one), bytes
cost computing time whoever moves them; on other machines next to none. No plan can be faster than that at the same
traffic, so it says how much of a row's distance from its bound is the machine's. About 5 minutes at 15 pairs.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import common

PROGRAMS = {"demo": "thermocline_demo", "resnet": "03_libtorch_resnet", "transformer": "04_libtorch_transformer",
            "python": ""}
SETTLE = 1.2  # seconds until fio moves bytes


class Lockstep:
    """A program that trains as many steps as it is told, on malloc."""

    def __init__(self, flags, program: str):
        here = Path(__file__).absolute().parent
        command = [f"{flags.bin}/{PROGRAMS[program]}", "--allocator", "stock"]
        if program == "python":
            command = [flags.python, str(here / "python_steps.py"), "--script", str(here.parent / "examples/05_run_python/train.py")]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("THERMOCLINE", "MALLOC_"))}
        env["LD_PRELOAD"] = "libtcmalloc_minimal.so.4"
        self.child = subprocess.Popen([*command, "--lockstep", "--steps", "1000"], env=env, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.name = program
        self.line()  # it is ready

    def steps(self, count: int) -> float:
        """Their median, in seconds."""
        print(count, file=self.child.stdin, flush=True)
        return common.median([json.loads(self.line())["seconds"] for _ in range(count)])

    def line(self) -> str:
        line = self.child.stdout.readline()
        if not line:
            sys.exit(f"traffic: {self.name} ended, with {self.child.wait()}: {' '.join(self.child.args)}")
        return line

    def end(self) -> None:
        self.child.stdin.close()
        self.child.wait()


@contextmanager
def moving(file: str, rate: float):
    """So many bytes a second go to the disk and as many come from it; 0: none do."""
    if rate == 0:
        yield
        return
    mib = max(1, round(rate / (1 << 20)))
    fio = subprocess.Popen(["fio", "--name=beside", f"--filename={file}", "--rw=rw", "--bs=2m", "--direct=1", "--iodepth=4",
                            "--ioengine=io_uring", "--size=512m", "--time_based", "--runtime=600", f"--rate={mib}m,{mib}m"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(SETTLE)
        yield
    finally:
        fio.terminate()
        fio.wait()


def measure(name: str, steps, file: str, rates: list[float], turns: int) -> dict[float, list[float]]:
    """Seconds of a step, round by round, beside each rate and (0) alone; steps(): a few steps' median, in seconds."""
    rates = [0.0, *rates]
    try:
        with moving(file, rates[-1]):
            time.sleep(2)  # the file is laid out
        rows: dict[float, list[float]] = {rate: [] for rate in rates}
        for turn in range(turns):
            for i in range(len(rates)):
                rate = rates[(i + turn) % len(rates)]
                with moving(file, rate):
                    rows[rate].append(steps())
            print(f"round {turn + 1}: {name} " + ", ".join(f"{rows[r][-1]:.3f} s at {r / 1e9:.3g} GB/s" for r in rates),
                  file=sys.stderr, flush=True)
        return rows
    finally:
        if os.path.exists(file):
            os.unlink(file)


def file_in(slow: str) -> str:
    return os.path.join(slow.removeprefix("file:"), f"thermocline-bench-{os.getpid()}.fio")


def main() -> int:
    p = common.parser(__doc__)
    p.add_argument("--programs", default="demo,resnet,python", help="which, separated by commas")
    p.add_argument("--rates", default="0.125,0.25,0.5", help="GB/s each way, separated by commas")
    p.add_argument("--python", default=".deps/python/bin/python3", help="for example 05: a Python that imports torch")
    flags = p.parse_args()
    programs = flags.programs.split(",")
    if not set(programs) <= set(PROGRAMS):
        p.error(f"--programs: there are {', '.join(PROGRAMS)}")
    rates = [float(rate) * 1e9 for rate in flags.rates.split(",")]
    rounds = 2 if flags.quick else flags.pairs
    seconds: dict[str, dict[float, list[float]]] = {}
    for program in programs:
        run = Lockstep(flags, program)
        run.steps(3)
        seconds[program] = measure(program, lambda: run.steps(1 + flags.counted), file_in(flags.slow), rates, rounds)
        run.end()
    figures = []
    for program, rows in seconds.items():
        for rate in rates:
            ratios = [a / b for a, b in zip(rows[rate], rows[0.0])]
            low, high = common.interval(ratios)
            figures.append(common.Figure(f"{program} beside {rate / 1e9:.3g} GB/s in and as much out, over alone",
                                         common.median(ratios), None, note=f"[{low:.3f}, {high:.3f}], {common.median(rows[0.0]):.2f} s alone"))
    return common.report(flags, "traffic", figures, rounds, seconds={k: {str(r): s for r, s in v.items()} for k, v in seconds.items()})


if __name__ == "__main__":
    raise SystemExit(main())
