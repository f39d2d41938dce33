#!/usr/bin/python3
"""Debian's package, as cpack makes it: what is in it, what it needs, what it does to a system; and systemd's view of the unit.
With IMAPMUX_LINTIAN=1 lintian has its say as well, for which it needs seconds."""
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["IMAPMUX_BUILD"])
SOURCE = pathlib.Path(__file__).resolve().parents[2]
UNIT = SOURCE / "packaging/imapmux.service"
MOST_EXPOSURE = 2.0  # of 10; measured: 1.6


def output(*command, **options):
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False, **options)
    if run.returncode != 0:
        raise AssertionError(f"{command} ended with {run.returncode}:\n{run.stdout}{run.stderr}")
    return run.stdout


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze here")
class Unit(unittest.TestCase):
    def test_it_is_contained(self):
        said = output("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
        exposure = float(re.search(r"Overall exposure level for imapmux.service: ([\d.]+)", said)[1])
        print(f"exposure {exposure}", flush=True)
        self.assertLess(exposure, MOST_EXPOSURE, said)

    def test_it_has_no_mistakes(self):
        with tempfile.TemporaryDirectory(prefix="imapmux-unit-") as folder:
            unit = pathlib.Path(folder) / "imapmux.service"
            unit.write_text(UNIT.read_text().replace("/usr/bin/imapmux", str(BUILD / "proxy/imapmux")))
            run = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False)
        about_ours = [line for line in run.stderr.splitlines() if "imapmux" in line]
        self.assertEqual((run.returncode, about_ours), (0, []), run.stderr)


@unittest.skipUnless(shutil.which("promtool"), "no promtool here")
class Monitoring(unittest.TestCase):
    def test_the_configuration_of_prometheus_is_right(self):
        output("promtool", "check", "config", SOURCE / "docker/prometheus.yml")


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="imapmux-package-")))
        output("cpack", "-G", "DEB", "-B", cls.folder, "--config", BUILD / "CPackConfig.cmake", cwd=cls.folder)
        [cls.package] = cls.folder.glob("*.deb")
        cls.root = cls.folder / "root"
        output("dpkg-deb", "--raw-extract", cls.package, cls.root)
        cls.files = {}
        for line in output("dpkg-deb", "--contents", cls.package).splitlines():
            mode, owner, _, _, _, path = line.split(maxsplit=5)
            cls.files[path[1:]] = (mode, owner)

    @functools.cached_property
    def control(self):
        return dict(re.findall(r"(?m)^(\S+): (.*)", (self.root / "DEBIAN/control").read_text()))

    def test_what_it_is_and_needs(self):
        self.assertEqual((self.control["Package"], self.control["Section"]), ("imapmux", "mail"))
        version = output(self.root / "usr/bin/imapmux", "--version").split()[-1]
        self.assertEqual(self.control["Version"], f"{version}-1")
        self.assertRegex((SOURCE / "packaging/debian/changelog").read_text(), rf"\Aimapmux \({re.escape(version)}-1\)")
        needs = {part.split()[0] for part in self.control["Depends"].split(", ")}
        self.assertLessEqual({"adduser", "libc6", "libssl3", "libuv1", "libyaml-cpp0.7"}, needs)

    def test_every_file_has_its_place_and_mode(self):
        expected = {"/usr/bin/imapmux": "-rwxr-xr-x"} | dict.fromkeys((
            "/etc/imapmux/imapmux.yaml", "/lib/systemd/system/imapmux.service", "/usr/share/man/man1/imapmux.1.gz",
            "/usr/share/man/man5/imapmux.yaml.5.gz", "/usr/share/bash-completion/completions/imapmux",
            "/usr/share/zsh/vendor-completions/_imapmux", "/usr/share/fish/vendor_completions.d/imapmux.fish",
            "/usr/share/imapmux/imapmux.schema.json", "/usr/share/doc/imapmux/copyright", "/usr/share/doc/imapmux/changelog.gz",
            "/usr/share/doc/imapmux/changelog.Debian.gz", "/usr/share/doc/imapmux/examples/demo.yaml"), "-rw-r--r--")
        for path, mode in expected.items():
            self.assertEqual(self.files.get(path), (mode, "root/root"), path)
        self.assertEqual((self.root / "DEBIAN/conffiles").read_text(), "/etc/imapmux/imapmux.yaml\n")
        self.assertNotIn(".debug_info", output("readelf", "--section-headers", "--wide", self.root / "usr/bin/imapmux"))

    def test_its_scripts_are_scripts(self):
        for name in ("postinst", "prerm", "postrm"):
            self.assertTrue(os.access(self.root / "DEBIAN" / name, os.X_OK))
            output("sh", "-n", self.root / "DEBIAN" / name)

    def test_its_configuration_is_right(self):
        output(self.root / "usr/bin/imapmux", "check", "--config", self.root / "etc/imapmux/imapmux.yaml")

    @unittest.skipUnless(os.environ.get("IMAPMUX_LINTIAN"), "only when asked")
    def test_lintian_is_content(self):
        options = ["--allow-root"] if os.geteuid() == 0 else []
        self.assertEqual(output("lintian", *options, "--fail-on", "error,warning", self.package).strip(), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
