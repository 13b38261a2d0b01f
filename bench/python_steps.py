"""Runs an unmodified training script, a few steps at a time, as demo_table wants its rows: a line of JSON a step.

    python_steps.py --script train.py --lockstep --steps N [--threads N] [--peak BYTES] [--save FOLDER]

A step ends where the script prints its line, "step 3: loss 0x1.2p+1 ..."; the next one begins when standard input says
so. Under `thermocline run` the profile and the run log are saved at the end, named after the budget.
"""
import argparse
import builtins
import ctypes
import json
import os
import re
import runpy
import sys
import time
from pathlib import Path


def loaded_malloc() -> str:
    """The malloc that really serves this process: a preloaded library that is missing is only warned of by ld.so."""
    maps = Path("/proc/self/maps").read_text()
    return next((name for name in ("tcmalloc", "jemalloc", "mimalloc") if f"/lib{name}" in maps), "glibc")


def save(folder: str) -> None:
    if not folder or "THERMOCLINE_FAST" not in os.environ:
        return
    here = ctypes.CDLL(None)  # the preload library offers the C API, by its linker names
    base = f"{folder}/{os.environ['THERMOCLINE_FAST']}"
    for call, path in ((here.thermocline_save_run_log, f"{base}.runlog"), (here.thermocline_save_profile, f"{base}.trace.json")):
        if call(None, path.encode()) != 0:
            here.thermocline_last_error.restype = ctypes.c_char_p
            print(f"{path}: {here.thermocline_last_error().decode()}", file=sys.stderr)


class Steps:
    def __init__(self) -> None:
        self.due = 0
        self.began = 0.0
        self.say = builtins.print

    def wait(self) -> None:
        """Returns when a step is asked for; ends the script when none will be."""
        while self.due == 0:
            line = sys.stdin.readline()
            if not line:
                raise SystemExit(0)
            self.due = int(line)
        self.due -= 1
        self.began = time.monotonic()

    def printed(self, *words, **_) -> None:
        seconds = time.monotonic() - self.began
        step = re.match(r"step \d+: loss (\S+)", " ".join(map(str, words)))
        if step is None:
            return
        self.said({"seconds": seconds, "loss": float.fromhex(step[1]), "peak_bytes": flags.peak, "bytes_in": 0,
                   "bytes_out": 0, "exposed_seconds": 0})
        self.wait()

    def said(self, value: dict) -> None:
        self.say(json.dumps(value), flush=True)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--script", required=True)
parser.add_argument("--lockstep", action="store_true", required=True)
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
parser.add_argument("--peak", type=int, default=0, help="what the script's tensors come to; repeated in what is said")
parser.add_argument("--save", default="", help="folder for the profile and the run log")
flags = parser.parse_args()

import torch  # noqa: E402, after the flags: it takes seconds

torch.set_num_threads(flags.threads)
steps = Steps()
builtins.print = steps.printed
sys.argv = [flags.script, "--steps", str(flags.steps)]
steps.said({"ready": True})
try:
    steps.wait()
    runpy.run_path(flags.script, run_name="__main__")
except SystemExit as end:
    if end.code:
        raise
builtins.print = steps.say
save(flags.save)
steps.said({"summary": {"malloc": loaded_malloc(), "peak_bytes": flags.peak}})
