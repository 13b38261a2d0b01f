"""What smaller granules cost or save: the examples' step times at small budgets, with granules of 1 MiB and 512 KiB over
2 MiB.

Each round runs each program once with each size, from start to end, and counts the last steps. Smaller granules move fewer
bytes, as tensors fill them better; without huge pages addresses take longer to look up, and moving takes more of the
kernel's time. About 12 minutes at 5 rounds.
"""
from __future__ import annotations

from pathlib import Path

import common
import examples

SIZES = ["2MiB", "1MiB", "512KiB"]
WARMUP, COUNTED = 16, 8


def commands(flags) -> dict[str, list[str]]:
    """What is run, its steps and its budget left out, by a name; budgets are of the programs' peaks (bench examples)."""
    script = Path(__file__).absolute().parent.parent / "examples/05_run_python/train.py"
    run = [f"{flags.bin}/thermocline", "run", "--quiet", "--slow", flags.slow]
    python = ["--", flags.python, "-u", str(script)]
    return {
        "cpp at 35%": [f"{flags.bin}/02_cpp_api", "--slow", flags.slow, "--fast", "35MiB"],
        "cpp at 20%": [f"{flags.bin}/02_cpp_api", "--slow", flags.slow, "--fast", "20MiB"],
        "resnet at 20%": [f"{flags.bin}/03_libtorch_resnet", "--slow", flags.slow, "--fast", "122MiB"],
        "python at 50%": [*run, "--fast", "73MiB", *python],
        "python at 28%": [*run, "--fast", "41MiB", *python],
    }


def main() -> int:
    p = common.parser(__doc__, pairs=5)
    p.add_argument("--python", default=".deps/python/bin/python3", help="for example 05: a Python that imports torch")
    flags = p.parse_args()
    turns = 2 if flags.quick else flags.pairs
    seconds: dict[str, dict[str, list[float]]] = {}
    for name, command in commands(flags).items():
        rows = seconds[name] = {size: [] for size in SIZES}
        steps = WARMUP + COUNTED + (16 if name.startswith("python") else 0)  # its rhythm is to be found first
        for turn in range(turns):
            for i in range(len(SIZES)):
                size = SIZES[(i + turn) % len(SIZES)]
                env = {**examples.environment("20"), "THERMOCLINE_GRANULE": size}
                rows[size].append(examples.run_whole([*command, "--steps", str(steps)], env, COUNTED)[0])
            print(f"round {turn + 1}: {name} " + ", ".join(f"{rows[s][-1]:.4f} s with {s}" for s in SIZES), flush=True)
    figures = []
    for name, rows in seconds.items():
        for size in SIZES[1:]:
            ratios = [a / b for a, b in zip(rows[size], rows[SIZES[0]])]
            low, high = common.interval(ratios)
            figures.append(common.Figure(f"{name}: {size} over {SIZES[0]}", common.median(ratios), None,
                                         note=f"[{low:.3f}, {high:.3f}]"))
    return common.report(flags, "granules", figures, turns, needs=5, seconds=seconds)


if __name__ == "__main__":
    raise SystemExit(main())
