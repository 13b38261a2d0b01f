"""The statistics of the benchmarks."""
import unittest

import common


class Pairs(unittest.TestCase):
    def test_rounds_are_paired_in_order(self):
        ratio = common.paired({"seconds_per_step": [2, 2, 6, 6]}, {"seconds_per_step": [1, 1, 2, 2]}, 2)
        self.assertEqual(ratio["ratios"], [2, 3])
        self.assertEqual(ratio["median"], 2.5)

    def test_the_interval_of_fifteen_is_the_fourth_from_each_end(self):
        self.assertEqual(common.interval(list(range(1, 16))), (4, 12))

    def test_few_pairs_have_their_extremes_as_interval(self):
        self.assertEqual(common.interval([3.0, 1.0, 2.0]), (1.0, 3.0))

    def test_a_figure_over_its_bound_does_not_hold(self):
        self.assertFalse(common.Figure("x", 1.1, 1.0).held)
        self.assertTrue(common.Figure("x", 1.1, 1.0, at_least=True).held)


if __name__ == "__main__":
    unittest.main()
