"""Small steps whose least traffic can be counted by hand."""
import unittest

import least_bytes


def trace(layers: int, *tensors: dict) -> dict:
    return {"layers": [{} for _ in range(layers)], "tensors": list(tensors)}


class LeastBytes(unittest.TestCase):
    def test_what_fits_moves_nothing(self):
        t = trace(3, {"bytes": 10, "death_layer": 2, "writes": [0], "reads": [2]},
                  {"bytes": 10, "death_layer": 1, "writes": [1], "reads": [1]})
        solved = least_bytes.solve(t, 20)
        self.assertAlmostEqual(solved["bytes_in"] + solved["bytes_out"], 0)

    def test_what_does_not_fit_goes_out_and_comes_back(self):
        t = trace(3, {"bytes": 10, "death_layer": 2, "writes": [0], "reads": [2]},
                  {"bytes": 10, "death_layer": 1, "writes": [1], "reads": [1]})
        solved = least_bytes.solve(t, 12)
        self.assertAlmostEqual(solved["bytes_in"], 8)
        self.assertAlmostEqual(solved["bytes_out"], 8)

    def test_a_write_is_written_back_once_however_many_gaps_follow(self):
        t = trace(5, {"bytes": 10, "death_layer": 4, "writes": [0], "reads": [2, 4]},
                  {"bytes": 10, "death_layer": 1, "writes": [1], "reads": []},
                  {"bytes": 10, "death_layer": 3, "writes": [3], "reads": []})
        solved = least_bytes.solve(t, 10)
        self.assertAlmostEqual(solved["bytes_in"], 20)
        self.assertAlmostEqual(solved["bytes_out"], 10)

    def test_what_lives_across_steps_goes_around(self):
        t = trace(2, {"bytes": 10, "death_layer": -1, "writes": [], "reads": [0]},
                  {"bytes": 10, "death_layer": 1, "writes": [1], "reads": []})
        solved = least_bytes.solve(t, 10)
        self.assertAlmostEqual(solved["bytes_in"], 10)
        self.assertAlmostEqual(solved["bytes_out"], 0)

    def test_what_is_overwritten_is_neither_kept_nor_fetched(self):
        t = trace(3, {"bytes": 10, "death_layer": 2, "writes": [0, 2], "reads": [], "overwrites": [0, 2]},
                  {"bytes": 10, "death_layer": 1, "writes": [1], "reads": []})
        solved = least_bytes.solve(t, 10)
        self.assertAlmostEqual(solved["bytes_in"] + solved["bytes_out"], 0)


if __name__ == "__main__":
    unittest.main()
