"""How the examples are judged, on made-up times."""
import argparse
import sys
import unittest
from unittest import mock

import examples
import least_bytes

# Two layers, a tensor of 60 MB in each and one of 40 MB that is read in both: 160 MB in all, 100 MB at once.
TRACE = {"layers": [{}, {}],
         "tensors": [{"bytes": 60_000_000, "birth_layer": -1, "death_layer": -1, "reads": [layer]} for layer in (0, 1)]
                    + [{"bytes": 40_000_000, "birth_layer": -1, "death_layer": -1, "reads": [0, 1]}]}


class Judged(unittest.TestCase):
    def rows(self, ours, dram):
        return examples.Rows(160_000_000, {"50": ours, "glibc": dram, "jemalloc": [9.0] * len(dram)}, {50: TRACE},
                             {50: 240_000_000})

    def test_against_the_fastest_allocator_of_the_same_round(self):
        figures, details, pairs = examples.judge("net", self.rows([1.1, 3.3, 2.4], [1.0, 3.0, 2.0]), 1e12)
        self.assertEqual(pairs, 3)
        self.assertAlmostEqual(figures[0].measured, 1.1)
        self.assertTrue(figures[0].held)
        self.assertEqual(details["net-50"]["fastest"], "glibc")

    def test_against_the_link_where_that_takes_longer(self):
        least = least_bytes.solve(TRACE, 80_000_000)
        self.assertEqual(least["bytes_in"], 120_000_000)
        figures, _, _ = examples.judge("net", self.rows([6.0] * 3, [1.0] * 3), 24_000_000)
        self.assertAlmostEqual(figures[0].measured, 6.0 / 5.0)
        self.assertFalse(figures[0].held)
        self.assertIn("moves 2.00x the least", figures[0].note)


class Traffic(unittest.TestCase):
    def test_the_price_of_the_least_bytes_stands_beside_each_budget(self):
        least = {"bytes_in": 300, "bytes_out": 100}
        details = {"net-50": {"least": {"bytes_in": 0, "bytes_out": 0}, "bound_seconds": 2.0},
                   "net-20": {"least": least, "bound_seconds": 2.0}}
        figures = [examples.common.Figure(name, 1.0, 1.15) for name in details]
        flags = argparse.Namespace(slow="file:/nowhere", quick=False, pairs=3)
        asked = []

        def measured(name, steps, file, rates, turns):
            asked.append((name, rates, turns, steps()))
            return {0.0: [2.0, 1.0, 4.0], 100.0: [2.2, 1.2, 4.2]}

        with mock.patch("traffic.measure", measured), mock.patch("examples.stepping", lambda *_: (lambda: 7.0, lambda: None)):
            examples.tell_traffic(flags, "net", figures, details)
        self.assertEqual(asked, [("net", [100.0], 3, 7.0)])
        self.assertEqual(figures[0].note, "", "nothing has to move")
        self.assertIn("1.100x [1.050, 1.200]", figures[1].note)
        self.assertEqual(details["net-20"]["beside_traffic"]["bytes_per_second_each_way"], 100.0)


class Budgets(unittest.TestCase):
    def test_are_never_below_the_widest_layer_and_a_tenth(self):
        self.assertEqual(examples.possible([50, 35, 20, 90], TRACE, 400_000_000), [90, 50, 35, 28])
        self.assertEqual(examples.possible([50, 35, 20], TRACE, 160_000_000), [69])


class WholeRuns(unittest.TestCase):
    def test_a_step_ends_where_its_line_comes(self):
        program = "import time\nfor i in range(9):\n  time.sleep(0.02)\n  print(f'step {i}: x', flush=True)"
        seconds, lines = examples.run_whole([sys.executable, "-c", program + "\nprint('done')"], {})
        self.assertEqual(lines, [f"step {i}: x\n" for i in range(9)])
        self.assertGreater(seconds, 0.015)

    def test_an_allocator_means_that_nothing_is_placed(self):
        self.assertEqual(examples.environment("glibc")["THERMOCLINE"], "off")
        self.assertNotIn("THERMOCLINE", examples.environment("20"))


if __name__ == "__main__":
    unittest.main()
