"""The least bytes that any plan must move in a step, by a linear program: independent of the library's planners.

For every tensor and every layer a variable says how much of it is resident (fractions allowed, so this is a lower
bound). What a layer touches is resident in it; what is resident fits the budget. Fetching is what residency grows by
between two layers in which the tensor lives, but not at its birth. A tensor that was written since it was last written
out must be written out once before any part of it leaves: per write and gap sequence, the largest part that ever leaves
before the next write. The step repeats, so what lives across steps goes around.

Layers in which nothing is touched that matters are merged: between two uses of a tensor only its least residency counts,
so one variable a gap is enough: x = the part of the tensor that stays throughout the gap.
"""
from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix


def read(path: Path) -> dict:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def floor_bytes(trace: dict) -> int:
    """The most bytes that one layer touches."""
    need = np.zeros(len(trace["layers"]), dtype=np.int64)
    for t in trace["tensors"]:
        for layer in set(t.get("reads", [])) | set(t.get("writes", [])):
            need[layer] += t["bytes"]
    return int(need.max())


def gaps(tensor: dict, layers: int) -> list[tuple[list[int], bool, bool, int]]:
    """(layers strictly between two uses, dirty before it, must be fetched after it, index of the write before it)."""
    writes = set(tensor.get("writes", []))
    overwrites = set(tensor.get("overwrites", []))
    uses = sorted(set(tensor.get("reads", [])) | writes)
    if not uses:
        return []
    last = [w for w in uses if w in writes]
    out = []
    around = tensor["death_layer"] < 0
    pairs = list(zip(uses, uses[1:])) + ([(uses[-1], uses[0] + layers)] if around else [])
    for a, b in pairs:
        between = [k % layers for k in range(a + 1, b)]
        if not between:
            continue
        before = [w for w in last if w <= a] or (last[-1:] if around else [])
        out.append((between, bool(before), b % layers not in overwrites, before[-1] if before else -1))
    return out


def solve(trace: dict, budget: int) -> dict:
    """{"bytes_in", "bytes_out", "seconds_to_solve"...}; budget is raised to the floor where it is below."""
    layers = len(trace["layers"])
    used = np.zeros(layers)
    classes: dict[tuple, list] = {}
    for index, t in enumerate(trace["tensors"]):
        for layer in set(t.get("reads", [])) | set(t.get("writes", [])):
            used[layer] += t["bytes"]
        mine: dict[int, list] = {}
        for between, dirty, fetch, write in gaps(t, layers):
            mine.setdefault(write, []).append((between[0], len(between), dirty, fetch))
        # Equal tensors are one with the sum of their bytes.
        for write, group in mine.items():
            key = tuple(group)
            classes.setdefault(key, [0])[0] += t["bytes"]
    budget = max(budget, int(used.max()))
    costs: list[float] = []
    upper: list[float] = []
    rows: list[int] = []
    cols: list[int] = []
    vals: list[float] = []
    right: list[float] = list(budget - used)  # one row a layer first
    in_columns, out_columns = [], []
    for key, (size,) in classes.items():
        out_column = -1
        if any(dirty for _, _, dirty, _ in key):
            out_column = len(costs)
            costs.append(1.0)
            upper.append(size)
            out_columns.append(out_column)
        for first, length, dirty, fetch in key:
            away = len(costs)  # bytes of it that are away in this gap
            costs.append(1.0 if fetch else 0.0)
            upper.append(size)
            if fetch:
                in_columns.append(away)
            for k in range(first, first + length):
                # used + (size - away) <= budget
                rows.append(k % layers)
                cols.append(away)
                vals.append(-1.0)
                right[k % layers] -= size
            if dirty and fetch:  # what is overwritten before it is read need not be kept
                rows.append(len(right))
                cols.append(away)
                vals.append(1.0)
                rows.append(len(right))
                cols.append(out_column)
                vals.append(-1.0)
                right.append(0.0)
    if not costs:
        return {"bytes_in": 0, "bytes_out": 0, "budget": budget}
    matrix = csr_matrix((vals, (rows, cols)), shape=(len(right), len(costs)))
    scale = 1e6  # megabytes: kinder to the solver's tolerances
    done = linprog(costs, A_ub=matrix, b_ub=np.array(right) / scale, bounds=[(0, u / scale) for u in upper], method="highs")
    if done.status != 0:
        raise RuntimeError(f"the linear program was not solved: {done.message}")
    return {"bytes_in": float(sum(done.x[c] for c in in_columns) * scale),
            "bytes_out": float(sum(done.x[c] for c in out_columns) * scale),
            "budget": budget, "variables": len(costs), "constraints": len(right)}
