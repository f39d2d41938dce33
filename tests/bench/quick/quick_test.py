#!/usr/bin/env python3
"""The comparison must fail when it has to; a check that cannot fail proves nothing."""

import pathlib
import tempfile
import unittest

import counted_proxy
import records

ROW = {"times": 50,
       "instructions": {"imapmux": 600.0, "libuv": 1500.0, "libc": 400.0, "openssl": 10000.0},
       "calls": {"read": 2.0, "write": 2.0, "epoll_wait": 2.0}, "allocations": 7.0}
PROFILE = """\
events: Ir

ob=(1) /tmp/x/imapmux
fl=(1) ???
fn=(1) imapmux::relay()
0 100
+1 20
cob=(2) /usr/lib/x86_64-linux-gnu/libc.so.6
cfi=(2) ???
cfn=(2) malloc
calls=3 0
* 900
0 5

ob=(2)
fl=(2)
fn=(2)
0 60
cfn=(3) _int_malloc
calls=2 0
0 800

fn=(3)
-4 800

ob=(3) /usr/lib/x86_64-linux-gnu/libcrypto.so.3
fn=(4) AES
0 7
cob=(2)
cfn=(2)
calls=4 0
0 12
"""


def changed(figure, name=None, by=1.0):
    row = {key: dict(value) if isinstance(value, dict) else value for key, value in ROW.items()}
    if name is None:
        row[figure] += by
    else:
        row[figure][name] = row[figure].get(name, 0) + by
    return row


def verdict(now, like_recorded=True):
    return records.compare({"NOOP": now}, {"NOOP": ROW}, like_recorded)


class Comparison(unittest.TestCase):
    def worse(self, now, **how):
        self.assertEqual(1, len(verdict(now, **how).worse))
        self.assertEqual([], verdict(now, **how).better)

    def same(self, now, **how):
        self.assertEqual(([], []), (verdict(now, **how).worse, verdict(now, **how).better))

    def test_the_same_passes(self):
        self.same(ROW)

    def test_instructions(self):
        self.same(changed("instructions", "imapmux", 120))  # of 2,500
        self.worse(changed("instructions", "imapmux", 130))
        self.worse(changed("instructions", "libuv", 130))
        self.worse(changed("instructions", "libc", 130))
        self.worse(changed("instructions", "other", 130))

    def test_what_moves_from_one_object_to_another_is_the_same(self):
        row = changed("instructions", "imapmux", 200)
        row["instructions"]["libc"] -= 200
        self.same(row)

    def test_openssl_hides_nothing(self):
        self.worse(changed("instructions", "openssl", 600))
        row = changed("instructions", "imapmux", 130)
        row["instructions"]["openssl"] -= 130
        self.worse(row)

    def test_system_calls(self):
        self.worse(changed("calls", "read", 0.4))
        self.worse(changed("calls", "splice", 1))
        row = changed("calls", "write", -1)
        row["calls"]["writev"] = 1
        self.same(row)

    def test_allocations(self):
        self.worse(changed("allocations", by=1))

    def test_a_futex_call_now_and_then(self):
        recorded = {"times": 5000, "instructions": {}, "calls": {}, "allocations": 0}
        for calls, worse in (0, []), (20, []), (30, ["futex"]), (500, ["futex"]):
            now = {**recorded, "calls": {"futex": calls / 5000}}
            found = records.compare({"NOOP": now}, {"NOOP": recorded}).worse
            self.assertEqual(worse, [line.split()[1] for line in found])

    def test_small_figures(self):
        before = {"times": 50, "instructions": {"imapmux": 1.0}, "calls": {"read": 0.01}, "allocations": 0}
        now = {"times": 50, "instructions": {"imapmux": 6.0}, "calls": {"read": 0.02}, "allocations": 0.1}
        self.assertEqual([], records.compare({"NOOP": now}, {"NOOP": before}).worse)
        now = {"times": 50, "instructions": {"imapmux": 8.0}, "calls": {"read": 0.10}, "allocations": 0.3}
        self.assertEqual(3, len(records.compare({"NOOP": now}, {"NOOP": before}).worse))

    def test_improvements_are_told(self):
        found = verdict(changed("instructions", "imapmux", -300))
        self.assertEqual([], found.worse)
        self.assertEqual(1, len(found.better))

    def test_another_processor(self):
        self.same(changed("instructions", "libc", 1000), like_recorded=False)
        self.same(changed("instructions", "openssl", 9000), like_recorded=False)
        self.worse(changed("instructions", "imapmux", 120), like_recorded=False)  # of 2,100

    def test_what_is_not_recorded(self):
        self.assertEqual(1, len(records.compare({"new": ROW}, {"NOOP": ROW}).worse))

    def test_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "records.json"
            self.assertEqual({}, records.load(path)["rows"])
            records.save(path, {"valgrind": "3.19"}, {"NOOP": ROW, "FETCH": ROW})
            self.assertEqual({"recorded with": {"valgrind": "3.19"}, "rows": {"NOOP": ROW, "FETCH": ROW}},
                             records.load(path))


class Profile(unittest.TestCase):
    def test_costs_belong_to_who_has_them(self):
        functions, allocations = counted_proxy.read_profile(PROFILE)
        self.assertEqual({("imapmux", "imapmux::relay()"): 125, ("libc", "malloc"): 60, ("libc", "_int_malloc"): 800,
                          ("openssl", "AES"): 7}, dict(functions))
        self.assertEqual(7, allocations)
        self.assertEqual({"imapmux": 125, "libc": 860, "openssl": 7}, dict(counted_proxy.Count(functions).instructions()))

    def test_system_calls(self):
        log = (b"SYSCALL[7,2](0) sys_read ( 9, 0x5d8b8a0, 1024 ) --> [async] ... \n"
               b"SYSCALL[7,2](0) ... [async] --> Success(0x8) \n"
               b"SYSCALL[7,2]( 60) exit( 0 ) --> [pre-success] Success(0x0) \n"
               b"==7== SYSCALL\n")
        self.assertEqual([b"read", b"exit"], counted_proxy.SYSTEM_CALL.findall(log))

    def test_what_more_of_the_same_costs(self):
        once = counted_proxy.Count({("imapmux", "f"): 130}, {"read": 13, "accept4": 1}, 4)
        twice = counted_proxy.Count({("imapmux", "f"): 230}, {"read": 23, "accept4": 1}, 4)
        more = twice.beyond(once, 10)
        self.assertEqual(({("imapmux", "f"): 10}, {"read": 1}, 0), (dict(more.functions), dict(more.calls), more.allocations))


if __name__ == "__main__":
    unittest.main()
