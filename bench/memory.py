"""How small: the fast memory seen from outside, and what the bookkeeping takes.

1. As root with memory cgroups: the demo runs to its end, swap forbidden, under a limit of budget + B0 + 1%, B0 the
   smallest, over the allocator rows, of the group's peak less the tensors' peak.
2. Without privilege, as nobody where this runs as root: the process is stopped a few times a second, and what is resident
   of its arena, the blocks of its memory files and what the page cache holds of its slow file are summed; never above the
   budget.
3. Bookkeeping bytes per byte managed, and, apart from it, what the kernel's page tables take.

About 4 minutes.
"""
from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import common

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
PAGE = os.sysconf("SC_PAGESIZE")
LARGE = 1 << 30  # an address range reserved in one piece that is larger belongs to an arena


def cached_bytes(path: str) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        if size == 0:
            return 0
        view = LIBC.mmap(None, size, 1, 1, fd, 0)
        if view in (None, ctypes.c_void_p(-1).value):
            return 0
        pages = ctypes.create_string_buffer((size + PAGE - 1) // PAGE)
        LIBC.mincore(view, size, pages)
        LIBC.munmap(view, size)
        return sum(byte & 1 for byte in pages.raw) * PAGE
    finally:
        os.close(fd)


def arena_bytes(pid: int) -> int:
    """Resident bytes of runs of adjoining anonymous mappings that hold a large reserved piece."""
    total = run = 0
    end, large = -1, False
    for line in open(f"/proc/{pid}/smaps"):
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+)", line)
        if head:
            first, last, anonymous = int(head[1], 16), int(head[2], 16), head[4] == "0"
            if first != end or not anonymous:
                total += run if large else 0
                run, large = 0, False
            end = last if anonymous else -1
            large = large or (anonymous and head[3].startswith("---") and last - first >= LARGE)
            counts = anonymous
        elif line.startswith("Rss:") and counts:
            run += int(line.split()[1]) * 1024
    return total + (run if large else 0)


def file_bytes(pid: int) -> int:
    total = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        try:
            target = os.readlink(path)
            if target.startswith("/memfd:"):
                total += os.stat(path).st_blocks * 512
            elif target.endswith(" (deleted)"):
                total += cached_bytes(path)
        except OSError:
            pass  # closed meanwhile
    return total


def page_table_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return sum(int(line.split()[1]) * 1024 for line in status if line.startswith("VmPTE:"))


def unprivileged() -> dict:
    """What makes a child nobody's, where this is root."""
    return {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}


def check_reach(program: str) -> None:
    try:
        subprocess.run([program, "--help"], check=True, stdout=subprocess.DEVNULL, **unprivileged())
    except PermissionError:
        raise SystemExit(f"memory: nobody may not run {program}, as a folder above it is closed to others; put the checkout "
                         "elsewhere") from None


def watch(command: list[str]) -> tuple[int, int]:
    """Runs the command unprivileged; the most seen of its arena, memory files and cached slow file, and of its page tables."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **unprivileged())
    most = tables = 0
    while child.poll() is None:
        os.kill(child.pid, signal.SIGSTOP)  # frames move from place to place: count them while they rest
        try:
            time.sleep(0.002)
            most = max(most, arena_bytes(child.pid) + file_bytes(child.pid))
            tables = max(tables, page_table_bytes(child.pid))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass
        finally:
            os.kill(child.pid, signal.SIGCONT)
        time.sleep(0.2)
    if child.returncode != 0:
        raise SystemExit(f"memory: {' '.join(command)} failed: {child.stderr.read()[-500:]}")
    return most, tables


def main() -> int:
    p = common.parser(__doc__, pairs=1)
    p.add_argument("--budgets", default="20,50", help="percent of the peak")
    flags = p.parse_args()
    budgets = [int(b) for b in flags.budgets.split(",")]
    check_reach(f"{flags.bin}/thermocline_demo")
    rows = ["tcmalloc", "jemalloc", "mimalloc"] + [f"limited-{b}" for b in budgets]
    flags.counted = 1
    result = common.run_rows(flags, "memory", rows, pairs=1)
    runs, figures = result["by_name"], []
    for b in budgets:
        run = runs.get(f"limited-{b}")
        skipped = next((s["reason"] for s in result["skipped"] if s["name"] == f"limited-{b}"), "")
        budget = result["peak_bytes"] * b // 100
        limit = (budget + result["base_bytes"]) * 1.01
        figures.append(common.Figure(
            f"{b}%: peak over limit budget + B0 + 1%, no swap", None if run is None else run["peak_process_bytes"] / limit,
            1 if run else None, note=skipped or f"limit {limit / 1e6:.0f} MB, B0 {result['base_bytes'] / 1e6:.0f} MB; ended well"))
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            out = Path(folder) / "watched.json"
            most, tables = watch([f"{flags.bin}/thermocline_demo", "--allocator", "thermocline", "--fast", str(budget),
                                  "--slow", flags.slow, "--steps", "5", "--json", str(out)] +
                                 (["--width", "32"] if flags.quick else []))
            runtime = json.loads(out.read_text())["runtime"]
        figures.append(common.Figure(f"{b}%: arena, memory files and cached slow file over budget", most / budget, 1,
                                     note=f"{most / 1e6:.1f} of {budget / 1e6:.1f} MB, sampled"))
        figures.append(common.Figure(f"{b}%: bookkeeping over bytes managed",
                                     100 * runtime["metadata_bytes"] / result["peak_bytes"], 0.5, 0.1, unit="%",
                                     note=f"{runtime['metadata_bytes'] / 1e3:.0f} kB"))
        figures.append(common.Figure(f"{b}%: the process's page tables over bytes managed",
                                     100 * tables / result["peak_bytes"], None, unit="%", note=f"{tables / 1e3:.0f} kB"))
    return common.report(flags, "memory", figures, 1, needs=1, base_bytes=result["base_bytes"],
                         peak_bytes=result["peak_bytes"])


if __name__ == "__main__":
    raise SystemExit(main())
