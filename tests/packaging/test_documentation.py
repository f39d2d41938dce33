#!/usr/bin/python3
"""Man pages and shell completions say what --help says, and work: they are read by man and mandoc, and asked for completions in
real shells (zsh and fish only where they are installed)."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BINARY = pathlib.Path(os.environ["IMAPMUX"])


def output(*command, **options):
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False, **options)
    if run.returncode != 0:
        raise AssertionError(f"{command} ended with {run.returncode}:\n{run.stdout}{run.stderr}")
    return run.stdout + run.stderr


def commands():
    """The commands and their options, as --help shows them."""
    listed = output(BINARY, "--help").split("Subcommands:")[1].split("\n\n")[0]
    names = re.findall(r"(?m)^  (\S+)", listed)
    return {name: set(re.findall(r"(?m)^  (?:-\w,)?(--[\w-]+)", output(BINARY, name, "--help"))) for name in names}


class Documentation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="imapmux-docs-")))
        cls.commands = commands()
        for kind, name in (("man", "imapmux.1"), ("man-config", "imapmux.yaml.5"), ("bash", "bash"), ("zsh", "_imapmux"), ("fish", "fish")):
            (cls.folder / name).write_text(output(BINARY, "generate", kind, env={**os.environ, "SOURCE_DATE_EPOCH": "86400"}))
        (cls.folder / "imapmux").symlink_to(BINARY)
        cls.environment = {**os.environ, "PATH": f"{cls.folder}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "MANWIDTH": "200"}

    def test_the_man_page_has_what_help_has(self):
        text = output("man", "--warnings", "-P", "cat", "-l", self.folder / "imapmux.1", env=self.environment)
        shown = {}
        for part in re.split(r"(?m)^   imapmux ", text.split("COMMANDS\n")[1].split("\nNOTES")[0])[1:]:
            name = part.split()[0]
            shown[name] = {"--help", *re.findall(r"(?m)^       (?:-\w, )?(--[\w-]+)", part)}
        self.assertEqual(shown, self.commands)
        self.assertIn("1970-01-02", text)
        self.assertRegex(text, r"--route USER\n +Also say where this user goes")

    def test_the_man_page_of_the_file_has_the_keys_of_the_reference(self):
        text = output("man", "--warnings", "-P", "cat", "-l", self.folder / "imapmux.yaml.5", env=self.environment)
        reference = (pathlib.Path(__file__).resolve().parents[2] / "config/reference.md").read_text()
        keys = [name for name, rest in re.findall(r"(?m)^\| `(\w+)` \|(.*)", reference) if "Not supported" not in rest]
        self.assertEqual(re.findall(r"(?m)^       (\w+): ", text), keys)

    def test_the_man_pages_have_no_mistakes(self):
        self.assertEqual(output("mandoc", "-Tlint", "-Wwarning", self.folder / "imapmux.1", self.folder / "imapmux.yaml.5"), "")

    def check_completions(self, complete):
        """complete("imapmux che") -> the words that the shell offers for the last one."""
        self.assertEqual(complete("imapmux che"), {"check"})
        self.assertLessEqual(set(self.commands), complete("imapmux "))
        self.assertNotIn("demo-server", complete("imapmux d"))
        for name, options in self.commands.items():
            self.assertEqual({word for word in complete(f"imapmux {name} --") if word.startswith("--")}, options, name)
        self.assertEqual(complete("imapmux serve --config im"), {"imapmux", "imapmux.1", "imapmux.yaml.5"})

    def test_bash(self):
        output("bash", "-n", self.folder / "bash")
        script = ('source ./bash; read -ra COMP_WORDS <<<"$1"; [[ $1 == *" " ]] && COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]} - 1));'
                  'compopt() { :; }; _imapmux; printf "%s\\n" "${COMPREPLY[@]}"')
        self.check_completions(lambda line: set(
            output("bash", "--norc", "-c", script, "bash", line, cwd=self.folder, env=self.environment).split()))

    @unittest.skipUnless(shutil.which("fish"), "no fish here")
    def test_fish(self):
        script = "source fish; complete -C $argv[1]"
        environment = {**self.environment, "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "none")}
        self.check_completions(lambda line: {
            word.split("\t")[0] for word in output("fish", "-c", script, line, cwd=self.folder, env=environment).splitlines()})

    @unittest.skipUnless(shutil.which("zsh"), "no zsh here")
    def test_zsh(self):
        """In a terminal, since zsh completes nowhere else; what it offers goes through compadd."""
        (self.folder / ".zshrc").write_text(
            "PS1=; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -d ./zcompdump\n"
            "complete-it() { zle complete-word; mv offering offered }; zle -N complete-it; bindkey '^I' complete-it\n"
            "compadd() { local -a words; builtin compadd -O words \"$@\"; print -rl -- $words >>offering; builtin compadd \"$@\" }\n")
        (self.folder / "ask").write_text(
            "zmodload zsh/zpty; rm -f offered; : >offering; zpty -b shell 'ZDOTDIR=. TERM=vt100 zsh -i'\n"
            "zpty -w -n shell \"$1\"$'\\t'\n"
            "for (( i = 0; i < 1000; ++i )) { [[ -e offered ]] && break; zpty -r -t shell line; sleep 0.01 }\n"
            "zpty -d shell; cat offered\n")
        self.check_completions(lambda line: set(
            output("zsh", "-f", "ask", line, cwd=self.folder, env={**self.environment, "HOME": str(self.folder)}).split()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
