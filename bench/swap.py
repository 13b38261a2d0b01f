"""What 20% of the memory costs over all-DRAM, against what the operating system's swap costs at the same limit.

Needs root and memory cgroups. The swap row runs alone, after the others: 2 counted steps of about 20 s.
About 8 minutes at 15 pairs.
"""
import common


def main() -> int:
    flags = common.parser(__doc__).parse_args()
    result = common.run_rows(flags, "swap", ["tcmalloc", "mimalloc", "thermocline-20", "swap-20"])
    runs = result["by_name"]
    if "swap-20" not in runs:
        reason = next(s["reason"] for s in result["skipped"] if s["name"] == "swap-20")
        raise SystemExit(f"swap: the swap row could not run: {reason}")
    base = common.fastest_allocator(runs)
    ours = common.paired(runs["thermocline-20"], runs[base], flags.counted)
    fast = runs[base]["seconds_per_step_median"]
    swapped = runs["swap-20"]["seconds_per_step_median"] / fast
    cost = lambda ratio: (ratio - 1) / (swapped - 1)
    figures = [
        common.Figure(f"swap-20 over {base}", swapped, None),
        common.Figure(f"thermocline-20 over {base}", ours["median"], None, note=f"[{ours['low']:.3f}, {ours['high']:.3f}]"),
        common.Figure("cost of 20% over cost of swap", cost(ours["median"]), 1 / 20, 1 / 100, unit="",
                      note=f"[{cost(ours['low']):.4f}, {cost(ours['high']):.4f}]"),
    ]
    return common.report(flags, "swap", figures, ours["pairs"], fastest=base, machine=result["machine"],
                         swap_seconds=runs["swap-20"]["seconds_per_step"])


if __name__ == "__main__":
    raise SystemExit(main())
