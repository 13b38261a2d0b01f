"""The demo's net against the fastest of glibc, tcmalloc, jemalloc and mimalloc, decided in the same run.

The rows stay in memory side by side and take turns of three steps, of which two count. All ten rows at 15 pairs take
about 25 minutes on 2 cores; choose with --rows.
"""
import common

MUST = {100: (1.02, 0.97), 50: (1.03, 1.00), 35: (1.03, 1.00), 20: (1.06, 1.01), 15: (None, 1.05)}


def main() -> int:
    p = common.parser(__doc__)
    p.add_argument("--rows", default="thermocline-100,thermocline-50,thermocline-35,thermocline-20,thermocline-15,lru-20")
    p.add_argument("--allocators", default=",".join(common.ALLOCATORS), help="baselines; glibc is always among them")
    flags = p.parse_args()
    rows = flags.rows.split(",")
    result = common.run_rows(flags, "demo-speed", flags.allocators.split(",") + rows)
    runs = result["by_name"]
    base = common.fastest_allocator(runs)
    figures, details, pairs = [], {}, 0
    for name in rows:
        if name not in runs:
            continue
        kind, percent = name.split("-")
        ratio = common.paired(runs[name], runs[base], flags.counted)
        details[name], pairs = ratio, ratio["pairs"]
        must, aim = MUST.get(int(percent), (None, None)) if kind == "thermocline" else (None, None)
        exposed = runs[name]["exposed_seconds_per_step"]
        figures.append(common.Figure(f"{name} over {base}", ratio["median"], must, aim,
                                     note=f"[{ratio['low']:.3f}, {ratio['high']:.3f}], exposed {exposed:.3f} s"))
    lru, ours = runs.get("lru-20"), runs.get("thermocline-20")
    if lru and ours:
        ratio = common.paired(lru, ours, flags.counted)
        details["lru-20 over thermocline-20"] = ratio
        figures.append(common.Figure("lru-20 over thermocline-20", ratio["median"], 1.2, 1.3, at_least=True,
                                     note=f"[{ratio['low']:.3f}, {ratio['high']:.3f}]"))
    equal = all(run["losses_equal"] for run in runs.values())
    figures.append(common.Figure("every loss equal, bit for bit", 1.0 if equal else 0.0, 1, unit="", at_least=True))
    return common.report(flags, "demo-speed", figures, pairs, fastest=base, ratios=details, machine=result["machine"],
                         peak_bytes=result["peak_bytes"])


if __name__ == "__main__":
    raise SystemExit(main())
