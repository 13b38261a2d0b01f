"""The file tier each way, and both at once, against fio with the same depth, block size, file size and folder, in turns.

fio: io_uring, O_DIRECT, registered buffers, sequential over a file written before. About 6 minutes at 15 pairs.
"""
import json
import os
import subprocess

import common

FIO = {"in": "read", "out": "write", "mixed": "rw"}


def fio(flags, mode: str, file: str) -> float:
    command = ["fio", "--name=slow", f"--filename={file}", f"--rw={FIO[mode]}", f"--bs={flags.block}", "--direct=1",
               f"--iodepth={flags.depth}", "--ioengine=io_uring", "--fixedbufs=1", f"--size={flags.bytes}",
               "--time_based", f"--runtime={flags.seconds}", "--output-format=json", "--rwmixread=50"]
    if not os.path.exists(file):  # written whole first, as ours is
        subprocess.run(["fio", "--name=fill", f"--filename={file}", "--rw=write", "--bs=2m", "--direct=1", "--iodepth=8",
                        "--ioengine=io_uring", f"--size={flags.bytes}", "--output-format=json"], check=True,
                       stdout=subprocess.DEVNULL)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    job = json.loads(done[done.index("{"):])["jobs"][0]
    return float(job["read"]["bw_bytes"] + job["write"]["bw_bytes"])


def ours(flags, mode: str, folder: str) -> float:
    command = [f"{flags.bin}/file_tier_bench", "--dir", folder, "--mode", mode, "--depth", str(flags.depth), "--block",
               str(flags.block), "--bytes", str(flags.bytes), "--seconds", str(flags.seconds)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)["bytes_per_second"]


def main() -> int:
    p = common.parser(__doc__)
    p.add_argument("--depth", type=int, default=8, help="transfers in flight")
    p.add_argument("--block", type=int, default=2 << 20, help="bytes of a transfer")
    p.add_argument("--bytes", type=int, default=512 << 20, help="bytes of each file")
    p.add_argument("--seconds", type=int, default=2, help="of each turn")
    flags = p.parse_args()
    folder = flags.slow.removeprefix("file:")
    file = os.path.join(folder, f"thermocline-bench-{os.getpid()}.fio")
    pairs = 2 if flags.quick else flags.pairs
    speeds = {mode: [] for mode in FIO}
    try:
        for pair in range(pairs):
            for mode in FIO:
                # Who goes first alternates.
                turn = [lambda: ours(flags, mode, folder), lambda: fio(flags, mode, file)]
                first = pair % 2
                done = {first: turn[first]()}
                done[1 - first] = turn[1 - first]()
                speeds[mode].append([done[0], done[1]])
                print(f"pair {pair + 1}, {mode}: ours {done[0] / 1e9:.2f} GB/s, fio {done[1] / 1e9:.2f} GB/s", flush=True)
    finally:
        if os.path.exists(file):
            os.unlink(file)
    figures = []
    for mode, both in speeds.items():
        ratios = [a / b for a, b in both]
        low, high = common.interval(ratios)
        figures.append(common.Figure(f"file tier over fio, {mode}", common.median(ratios), 0.9, 0.97, at_least=True,
                                     note=f"[{low:.3f}, {high:.3f}], ours {common.median([a for a, _ in both]) / 1e9:.2f} GB/s"))
    return common.report(flags, "file-tier", figures, pairs, bytes_per_second=speeds, depth=flags.depth,
                         block_bytes=flags.block)


if __name__ == "__main__":
    raise SystemExit(main())
