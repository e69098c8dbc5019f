# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/api.md do what they show, in their order, against an empty node."""
import pathlib
import re
import subprocess

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "api.md"
MARK = "@@ example "


def examples():
    """(command, what it prints) of every indented line that begins with "$ "."""
    found, in_block = [], False
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("    $ "):
            found.append((line[6:], []))
            in_block = True
        elif line.startswith("    ") and in_block:
            found[-1][1].append(line.strip())
        else:
            in_block = False
    return [(command, "".join(output)) for command, output in found]


def without_versions(text):
    text = re.sub(r'"uuid":"[^"]*"', '"uuid":"U"', text)
    text = re.sub(r'"node_id":"[^"]*"', '"node_id":"N"', text)
    text = re.sub(r'"version":"[^"]*"', '"version":"V"', text)
    return re.sub(r'"(timestamp|uptime_seconds)":(\d+|…)', r'"\1":0', text)


def test_the_examples_print_what_they_show(fresh_node):
    commands = examples()
    assert len(commands) > 20
    script = f"U={fresh_node.url}\n" + "".join(
        f"echo; echo '{MARK}{i}'\n{command}\n" for i, (command, _) in enumerate(commands))
    run = subprocess.run(["sh", "-eu"], input=script.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         timeout=300, check=False)
    assert run.returncode == 0, run.stderr.decode()
    printed = run.stdout.decode().split(f"\n{MARK}")[1:]
    assert len(printed) == len(commands)
    for (command, expected), output in zip(commands, printed):
        output = without_versions(output.split("\n", 1)[1].strip())
        assert '"status":4' not in output or '"status":4' in expected, (command, output)
        if expected:
            pattern = ".*".join(re.escape(part) for part in without_versions(expected).split("…"))
            assert re.fullmatch(pattern, output), (command, output)


def test_no_page_says_a_thing_twice_and_tables_have_a_head():
    for page in sorted(DOCUMENT.parent.rglob("*.md")):
        lines = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8")).splitlines()
        headings = [line for line in lines if line.startswith("## ")]
        assert len(set(headings)) == len(headings), page
        for above, line, below in zip(["", *lines], lines, [*lines[1:], ""]):
            if line.startswith("|") and not above.startswith("|"):
                assert re.match(r"\|[-:| ]+\|$", below), (page, line)
