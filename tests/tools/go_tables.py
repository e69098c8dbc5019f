#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""go_tables.py DRIVER: runs the tables of Go's own duration tests and of robfig/cron's tests through
DRIVER (tests/unit/base/go_tables.c). The tables are read from the source files that Debian ships
(golang-1.19-src, golang-github-robfig-cron-dev); nothing of them is kept here. Fails when a table
yields another number of rows than it is known to have, or when a row is not understood."""
import datetime
import glob
import re
import subprocess
import sys
import zoneinfo

CRON = "/usr/share/gocode/src/github.com/robfig/cron/"
STAR = 1 << 63
BOUNDS = {"seconds": (0, 59), "minutes": (0, 59), "hours": (0, 23), "dom": (1, 31),
          "months": (1, 12), "dow": (0, 6)}
# What the tables have in the versions Debian ships; the names say where they are.
ROWS = {
    "parseDurationTests": 43, "parseDurationErrorTests": 21, "durationTests": 20,
    "TestActivation": 29, "TestNext": 58, "TestErrors": 4, "TestNextWithTz": 4,
    "TestSlash0NoHang": 1, "TestConstantDelayNext": 14, "TestRange": 20, "TestField": 4,
    "TestAll": 5, "TestBits": 4, "TestParseScheduleErrors": 5, "TestParseSchedule": 12,
    "TestOptionalSecondSchedule": 3, "TestStandardSpecSchedule": 4,
}
# These exercise parsers for other sets of fields, which the standard parser does not offer.
NOT_APPLICABLE = ["TestNormalizeFields", "TestNormalizeFields_Errors", "TestNoDescriptorParser"]
UNITS = {"Nanosecond": 1, "Microsecond": 10**3, "Millisecond": 10**6, "Second": 10**9,
         "Minute": 60 * 10**9, "Hour": 3600 * 10**9}


def without_comments(text):
    """Line comments go; none of the tables has // in a string, except cron's "*//2"."""
    return re.sub(r'(?m)^((?:[^"\n]|"(?:[^"\\\n]|\\.)*")*?)//.*$', r"\1", text)


def block(text, start):
    """From the first `{` that ends a line at or behind `start` to its closing brace, exclusive."""
    begin = text.index("{\n", start) + 1
    depth, i, quoted = 1, begin, False
    while depth:
        c = text[i]
        if quoted and c == "\\":
            i += 1
        elif c == '"':
            quoted = not quoted
        elif not quoted:
            depth += (c == "{") - (c == "}")
        i += 1
    return text[begin:i - 1]


def table(text, name, variable=None):
    """The body of a table: a package variable, or `variable := []…{` within a function."""
    if variable is None:
        start = text.index(f"var {name} = []struct")
    else:
        start = text.index(variable, text.index(f"func {name}("))
    if text[start:text.index("{\n", start)].endswith("struct "):  # the row's type comes first
        fields = block(text, start)
        start = text.index(fields, start) + len(fields)
    return block(text, start)


def rows(body):
    """The top-level {…} groups of a table."""
    found, depth, quoted, begin, i = [], 0, False, 0, 0
    while i < len(body):
        c = body[i]
        if quoted and c == "\\":
            i += 1
        elif c == '"':
            quoted = not quoted
        elif not quoted and c == "{":
            depth += 1
            begin = i + 1 if depth == 1 else begin
        elif not quoted and c == "}":
            depth -= 1
            if depth == 0:
                found.append(body[begin:i])
        i += 1
    return found


def fields(row):
    """A row's values, split at its top-level commas."""
    parts, depth, quoted, part, i = [], 0, False, "", 0
    while i < len(row):
        c = row[i]
        if quoted and c == "\\":
            part += c
            i += 1
            c = row[i]
        elif c == '"':
            quoted = not quoted
        elif not quoted and c in "({[":
            depth += 1
        elif not quoted and c in ")}]":
            depth -= 1
        if c == "," and not quoted and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += c
        i += 1
    return [p for p in parts + [part.strip()] if p]


def keyed(row):
    return dict((k.strip(), v.strip()) for k, v in (f.split(":", 1) for f in fields(row)))


def string(literal):
    """The bytes of a Go string literal."""
    assert literal[0] == literal[-1] == '"', literal
    out, i, body = b"", 0, literal[1:-1]
    while i < len(body):
        if body[i] != "\\":
            out += body[i].encode()
            i += 1
        elif body[i + 1] == "x":
            out += bytes([int(body[i + 2:i + 4], 16)])
            i += 4
        elif body[i + 1] == "u":
            out += chr(int(body[i + 2:i + 6], 16)).encode()
            i += 6
        else:
            raise ValueError(literal)
    return out


def number(expression):
    """A constant expression of Go: << binds as tightly as * there, | as +."""
    expression = re.sub(r"time\.Duration\((\d+)\)", r"\1", expression)
    expression = re.sub(r"(?:time\.)?\b(%s)\b" % "|".join(UNITS),
                        lambda m: str(UNITS[m.group(1)]), expression)
    expression = re.sub(r"\ball\((\w+)\)", lambda m: str(every(m.group(1))), expression)
    expression = re.sub(r"(\w+)\.min\b", lambda m: str(BOUNDS[m.group(1)][0]), expression)
    expression = expression.replace("starBit", str(STAR)).replace("zero", "0")
    assert re.fullmatch(r"[0-9a-fx\s()*+<|-]+", expression), expression
    expression = re.sub(r"(-?\d+)\s*<<\s*(\d+)", lambda m: str(int(m.group(1)) << int(m.group(2))),
                        expression)
    return eval(expression, {"__builtins__": {}})  # digits and operators alone, see above


def every(name):
    low, high = BOUNDS[name]
    return sum(1 << i for i in range(low, high + 1)) | STAR


def duration_rows(text):
    for row in rows(table(text, "parseDurationTests")):
        source, want = fields(row)
        yield "parseDurationTests", "parse", string(source).hex(), str(number(want))
    for row in rows(table(text, "parseDurationErrorTests")):
        yield "parseDurationErrorTests", "parse", string(fields(row)[0]).hex(), "error"
    for row in rows(table(text, "durationTests")):
        want, source = fields(row)
        ns = number(source)
        yield "durationTests", "format", str(ns), string(want).hex()
        if ns > 0:  # as TestDurationString does
            yield "durationTests", "format", str(-ns), (b"-" + string(want)).hex()


def moment(text):
    """A time as the cron tests write it -> (Unix seconds floored, name of the local zone)."""
    zone = "UTC"
    if text.startswith("TZ="):
        zone, text = text[3:].split(" ", 1)
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)([+-]\d{4})", text)
    if match:
        at = datetime.datetime.strptime("".join(match.groups()), "%Y-%m-%dT%H:%M:%S%z")
        return int(at.timestamp()), zone, match.group(2)
    # The weekday is not looked at: several rows have a wrong one, and Go ignores it too.
    match = re.fullmatch(r"\w{3} (\w{3} \d+ \d\d:\d\d)(:\d\d(?:\.\d+)?)? (\d{4})", text)
    seconds = (match.group(2) or ":00").split(".")[0]
    at = datetime.datetime.strptime(f"{match.group(1)}{seconds} {match.group(3)}",
                                    "%b %d %H:%M:%S %Y")
    return int(at.replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp()), zone, None


def posix(offset):
    """+0530 -> a POSIX TZ string, whose signs are the other way round."""
    sign = "-" if offset[0] == "+" else "+"
    return f"<F>{sign}{offset[1:3]}:{offset[3:5]}"


def next_row(name, seconds, start, spec, expected):
    at, zone, _ = moment(start)
    want = str(moment(expected)[0]) if expected else "none"
    return name, "next", seconds, zone, str(at), spec, want


def spec_rows(text):
    for row in rows(table(text, "TestActivation", "tests :=")):
        at, spec, active = fields(row)
        when = moment(string(at).decode())[0]
        yield ("TestActivation", "next", "standard", "UTC", str(when - 1), string(spec).decode(),
               f"{'' if active == 'true' else '!'}{when}")
    for row in rows(table(text, "TestNext", "runs :=")):
        yield next_row("TestNext", "seconds", *(string(f).decode() for f in fields(row)))
    for row in rows(table(text, "TestNextWithTz", "runs :=")):
        start, spec, want = (string(f).decode() for f in fields(row))
        yield ("TestNextWithTz", "next", "standard", posix(moment(start)[2]), str(moment(start)[0]),
               spec, str(moment(want)[0]))
    for spec in re.findall(r'"[^"]*"', table(text, "TestErrors", "invalidSpecs :=")):
        yield "TestErrors", "refuse", "standard", string(spec).decode()
    body = block(text, text.index("func TestSlash0NoHang("))
    yield ("TestSlash0NoHang", "refuse", "standard",
           string(re.search(r'schedule := ("[^"]*")', body).group(1)).decode())


def delay_rows(text):
    for row in rows(table(text, "TestConstantDelayNext", "tests :=")):
        start, delay, want = fields(row)
        yield ("TestConstantDelayNext", "next", "standard", "UTC",
               str(moment(string(start).decode())[0]), f"@every {number(delay)}ns",
               str(moment(string(want).decode())[0]))


def schedule(expression, helpers):
    """A Schedule of the tests -> `every SECONDS` or six sets of bits and a zone."""
    match = re.fullmatch(r"ConstantDelaySchedule\{(.*)\}", expression)
    if match:
        return f"every {number(match.group(1)) // 10**9}"
    zones = {"time.Local": "Local", "time.UTC": "UTC", "tokyo": "Asia/Tokyo"}
    match = re.fullmatch(r"(\w+)\((.*)\)", expression)
    if match:
        body, loc = helpers[match.group(1)], match.group(2)
    else:
        body, loc = re.fullmatch(r"&SpecSchedule\{(.*)\}", expression, re.S).group(1), "time.Local"
    parts = [p.split(":", 1)[-1].strip() for p in fields(body)]
    assert len(parts) == 7, expression
    loc = loc if parts[6] == "loc" else parts[6]
    return " ".join(f"{number(p):x}" for p in parts[:6]) + " " + zones[loc]


def parser_rows(text):
    helpers = dict(re.findall(
        r"func (\w+)\(loc \*time\.Location\) \*SpecSchedule \{\s*return &SpecSchedule\{(.*?)\}\n\}",
        text, re.S))
    for row in rows(table(text, "TestRange", "ranges :=")):
        expr, low, high, want, error = fields(row)
        yield ("TestRange", "field", low, high, string(expr).decode(),
               "error" if string(error) else f"{number(want):x}")
    for row in rows(table(text, "TestField", "fields :=")):
        expr, low, high, want = fields(row)
        yield "TestField", "field", low, high, string(expr).decode(), f"{number(want):x}"
    for row in rows(table(text, "TestAll", "allBits :=")):
        name, want = fields(row)
        low, high = BOUNDS[name]
        yield ("TestAll", "field", str(low), str(high), "*", f"{int(want, 16) | STAR:x}")
    for row in rows(table(text, "TestBits", "bits :=")):
        low, high, step, want = fields(row)
        yield "TestBits", "field", "0", "59", f"{low}-{high}/{step}", f"{int(want, 16):x}"
    for row in rows(table(text, "TestParseScheduleErrors", "var tests =")):
        yield "TestParseScheduleErrors", "refuse", "seconds", string(fields(row)[0]).decode()
    for row in rows(table(text, "TestParseSchedule", "entries :=")):
        if "expr:" in row:
            values = keyed(row)
            parser, expr, want = values["parser"], values["expr"], values["expected"]
        else:
            parser, expr, want = fields(row)
        yield ("TestParseSchedule", "schedule",
               {"secondParser": "seconds", "standardParser": "standard"}[parser],
               string(expr).decode(), schedule(want, helpers))
    for row in rows(table(text, "TestOptionalSecondSchedule", "entries :=")):
        expr, want = fields(row)
        spec = string(expr).decode()
        yield ("TestOptionalSecondSchedule", "schedule",
               "seconds" if len(spec.split()) == 6 else "standard", spec, schedule(want, helpers))
    for row in rows(table(text, "TestStandardSpecSchedule", "entries :=")):
        values = keyed(row)
        spec = string(values["expr"]).decode()
        if "err" in values:
            yield "TestStandardSpecSchedule", "refuse", "standard", spec
        else:
            yield ("TestStandardSpecSchedule", "schedule", "standard", spec,
                   schedule(values["expected"], helpers))


def read(path):
    with open(path, encoding="utf-8") as file:
        return without_comments(file.read())


def all_rows():
    times = sorted(glob.glob("/usr/share/go-*/src/time/time_test.go"))
    if not times:
        raise FileNotFoundError("no Go sources: apt install golang-1.19-src")
    yield from duration_rows(read(times[0]))
    yield from spec_rows(read(CRON + "spec_test.go"))
    yield from delay_rows(read(CRON + "constantdelay_test.go"))
    yield from parser_rows(read(CRON + "parser_test.go"))


def main():
    found = list(all_rows())
    wrong = False
    for name, expected in ROWS.items():
        count = sum(row[0] == name for row in found)
        print(f"{name}: {count} rows")
        if count < expected:
            print(f"  at least {expected} expected")
            wrong = True
    print("not applicable:", ", ".join(NOT_APPLICABLE))
    lines = "".join("\t".join(row) + "\n" for row in found)
    result = subprocess.run([sys.argv[1]], input=lines.encode(), stdout=subprocess.PIPE,
                            check=False)
    print(result.stdout.decode(errors="replace"), end="")
    if f"{len(found)} rows, 0 failed" not in result.stdout.decode(errors="replace"):
        wrong = True
    return 1 if wrong or result.returncode != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
