"""The demo's net as an unmodified program under `thermocline run`, which finds the steps by itself, against the marked run.

Both have 20% of the peak. The unmarked run needs some steps to see that they recur, so it gets more of them before the
first turn. About 6 minutes at 15 pairs.
"""
import common


def main() -> int:
    p = common.parser(__doc__)
    p.add_argument("--budget", type=int, default=20, help="percent of the peak")
    flags = p.parse_args()
    rows = [f"thermocline-{flags.budget}", f"unmarked-{flags.budget}"]
    result = common.run_rows(flags, "unmarked", rows, warmup=8)
    runs = result["by_name"]
    ratio = common.paired(runs[rows[1]], runs[rows[0]], flags.counted)
    equal = all(run["losses_equal"] for run in runs.values())
    figures = [
        common.Figure(f"{rows[1]} over {rows[0]}", ratio["median"], 1.10, 1.02,
                      note=f"[{ratio['low']:.3f}, {ratio['high']:.3f}]"),
        common.Figure("every loss equal, bit for bit", 1.0 if equal else 0.0, 1, unit="", at_least=True),
    ]
    return common.report(flags, "unmarked", figures, ratio["pairs"], ratios=ratio, machine=result["machine"])


if __name__ == "__main__":
    raise SystemExit(main())
