#!/usr/bin/env python3
"""The arithmetic of the report."""
import dataclasses
import unittest

import goals
import report
from load import Run


def results(runs, tls=False, idle=None):
    """runs: (subject, work) -> CPU per unit in each round."""
    found = report.Results(tls)
    for place, costs in runs.items():
        found.runs[place] = {number: Run(cost, 1e6 / cost, 10.0, 20.0) for number, cost in enumerate(costs, 1)}
    found.idle.update(idle or {})
    return found


class Arithmetic(unittest.TestCase):
    def test_quartiles(self):
        self.assertEqual(report.quartiles([3, 1, 2]), (1, 2, 3))
        self.assertEqual(report.quartiles([5, 4, 3, 2, 1]), (2, 3, 4))
        self.assertAlmostEqual(report.spread([9, 10, 10, 11, 100]), 10)

    def test_ratios_compare_within_a_round(self):
        found = results({("nginx", "command"): [10, 20, 40], ("unrestricted", "command"): [9, 18, 36]})
        self.assertEqual(found.ratios("unrestricted", ("nginx", "command"), "command"), [0.9] * 3)

    def test_a_round_that_one_of_them_missed_does_not_count(self):
        found = results({("nginx", "command"): [10, 20, 40], ("unrestricted", "command"): [9, 18]})
        self.assertEqual(len(found.ratios("unrestricted", ("nginx", "command"), "command")), 2)

    def test_the_best_peer_is_the_cheapest_at_that_work(self):
        found = results({("nginx", "command"): [10], ("haproxy", "command"): [9], ("unrestricted", "command"): [1],
                         ("nginx", "login"): [100], ("haproxy", "login"): [70], ("dovecot", "login"): [250]})
        self.assertEqual(found.best_peer("command"), "haproxy")
        self.assertEqual(found.best_peer("login"), "nginx", "HAProxy sees no logins")
        self.assertIsNone(found.best_peer("bulk"))

    def test_tables_have_a_column_for_each_work_and_a_row_for_each_subject(self):
        found = results({("none", "command"): [4, 4, 4], ("nginx", "command"): [10, 10, 10], ("unrestricted", "command"): [9, 8, 10]},
                        idle={"nginx": 10.0, "unrestricted": 5.0})
        self.assertEqual(report.cpu_table(found).splitlines()[2:], [
            "| no proxy | 4.00 ±0% | – |", "| nginx mail | 10.0 ×1.00 ±0% | 10.0 ×1.00 |",
            "| imapmux unrestricted | 9.00 ×0.90 ±11% | 5.00 ×0.50 |"])
        self.assertIn("| imapmux unrestricted | 111,111 ×0.44 |", report.speed_table(found))
        self.assertIn("| nginx mail | 10.0 / 20.0 |", report.wait_table(found))

    def test_who_does_not_resume_tls_has_no_figure_for_it(self):
        found = results({("nginx", "resumed"): [800], ("dovecot", "resumed"): [1700]}, tls=True)
        found.runs["nginx", "resumed"][1] = dataclasses.replace(found.runs["nginx", "resumed"][1], resumed=1.0)
        self.assertEqual(report.cpu_table(found).splitlines()[2:],
                         ["| nginx mail | 800 ×1.00 ±0% |", "| Dovecot's proxy | does not resume |"])

    def test_a_section_replaces_the_one_of_its_name(self):
        text = report.with_section("# Costs\n", "Clear", "## Clear\none\n")
        text = report.with_section(text, "TLS", "## TLS: medians\ntwo")
        text = report.with_section(text, "Clear", "## Clear\nthree")
        self.assertEqual(text, "# Costs\n\n## Clear\nthree\n\n## TLS: medians\ntwo\n")


class Goals(unittest.TestCase):
    def row(self, text, *found):
        table = goals.goal_table({one.tls: one for one in found})
        return [line for line in table.splitlines() if text in line]

    def test_verdicts(self):
        self.assertEqual(goals.verdict(1.0, 0.8, 0.9), "met")
        self.assertEqual(goals.verdict(1.0, 0.98, 1.02), "within the spread")
        self.assertEqual(goals.verdict(1.0, 1.01, 1.02), "**not met**")

    def test_a_goal_is_judged_by_the_best_peer(self):
        found = results({("nginx", "bulk"): [700] * 5, ("haproxy-splice", "bulk"): [500] * 5, ("unrestricted", "bulk"): [250] * 5})
        self.assertEqual(self.row("CPU per MB", found), ["| unrestricted: CPU per MB, of the best peer's | clear | ≤ 0.45 | 0.50 | **not met** |"])

    def test_a_warm_login_is_judged_by_nginx_s_login(self):
        found = results({("nginx", "login"): [100] * 5, ("shared", "warm"): [45] * 5, ("imapproxy", "warm"): [20] * 5})
        self.assertEqual(self.row("warm login, of", found), ["| shared: CPU per warm login, of nginx's login | clear | ≤ 0.5 | 0.45 | met |"])

    def test_memory(self):
        found = results({}, tls=True, idle={"nginx": 20.0, "haproxy": 10.0, "unrestricted": 12.0, "shared-crowd": 19.0})
        self.assertEqual(self.row("idle", found), [
            "| unrestricted: memory per idle client, of the best peer's | TLS | ≤ 1 | 1.20 | **not met** |",
            "| shared: KB per idle client, 100 in a mailbox | TLS | ≤ 20 | 19.00 | met |"])

    def test_what_was_not_measured_is_not_judged(self):
        self.assertEqual(goals.goal_table({False: results({})}), "")


if __name__ == "__main__":
    unittest.main()
