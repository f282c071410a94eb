"""MISRA C:2012 over every kernel of the generated C, file by file, by cppcheck and its addon: rules that are broken, the mandatory first.

    python benchmarks/misra.py [--cppcheck cppcheck] [--addon FOLDER/misra.py] [--seconds 120] [--out FILE.json] [NAME ...]

Checked are all files of codegen/kernels, the kernels that are made of others (TensorFlow Lite's endings, inner loops of one depth) and
firmware/client/ai_observer.c; of the mandatory rules, those that cppcheck and the addon know. A file that takes longer than --seconds is
named, and makes the exit code 1 as a mandatory rule does. The command again goes on with the files that --out has not.
"""
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from common import ROOT, option_parser

from tinyvgg.report.record import write_json

MANDATORY = ("9.1", "12.5", "13.6", "17.3", "17.4", "17.6", "19.1", "21.13", "21.17", "21.18", "21.19", "21.20", "22.2", "22.4", "22.5", "22.6")
RULE = re.compile(r"\[misra-c2012-([\d.]+)\]")
ADDON = "/usr/lib/x86_64-linux-gnu/cppcheck/addons/misra.py"


def sources():
    """{file name: text} of what is checked, and of the headers that it includes."""
    from tinyvgg.codegen.write import HERE, LITE, _kernel
    names = [p.stem for p in sorted((HERE / "kernels").glob("*.c"))]
    found = {f"{name}.c": _kernel(name) for name in (*names, *LITE, "tv_mac_8x9", "tv_mac_8x9_4")}
    client = ROOT / "firmware" / "client"
    found["ai_observer.c"] = (client / "ai_observer.c").read_text(encoding="utf-8")
    headers = {p.name: p.read_text(encoding="utf-8") for p in (HERE / "kernels").glob("*.h")}
    headers["ai_platform_interface.h"] = (client / "ai_platform_interface.h").read_text(encoding="utf-8")
    headers["ai_platform.h"] = (client / "ai_platform.h.in").read_text(encoding="utf-8").replace("$client", "7")
    return found, headers


def check(folder, name, arguments):
    """{rule: how often} of one file, or None where it took too long; SystemExit where the tools fail."""
    commands = [[arguments.cppcheck, "--quiet", "--dump", "--std=c99", name], [sys.executable, arguments.addon, f"{name}.dump"]]
    try:
        for command in commands:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=arguments.seconds, check=False)
    except subprocess.TimeoutExpired:
        return None
    if "Checking" not in done.stdout + done.stderr:
        raise SystemExit(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout)[-500:]}")
    return dict(Counter(RULE.findall(done.stdout + done.stderr)))


def main(argv=None):
    parser = option_parser(__doc__, out=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="files (default: all)")
    parser.add_argument("--cppcheck", default="cppcheck", metavar="PROGRAM")
    parser.add_argument("--addon", default=ADDON, metavar="FILE", help=f"default {ADDON}")
    parser.add_argument("--seconds", type=float, default=120, help="for each of a file's two steps (120)")
    arguments = parser.parse_args(argv)
    kept = json.loads(arguments.out.read_text()) if arguments.out and arguments.out.exists() else {"files": {}}
    found, headers = sources()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (found | headers).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        for name in arguments.names or found:
            if kept["files"].get(name) is None:
                kept["files"][name] = check(folder, name, arguments)
                print(name, json.dumps(kept["files"][name]), flush=True)
                _keep(arguments.out, kept["files"])
    total = sum((Counter(rules) for rules in kept["files"].values() if rules), Counter())
    broken, late = {rule: total[rule] for rule in MANDATORY if total[rule]}, [n for n, rules in kept["files"].items() if rules is None]
    print(f"{len(kept['files'])} files; mandatory rules broken: {broken or 'none'}; took too long: {late or 'none'}; others: "
          + ", ".join(f"{rule} ({total[rule]})" for rule in sorted(set(total) - set(MANDATORY), key=lambda r: [*map(int, r.split("."))])))
    return int(bool(broken or late))


def _keep(path, files):
    if path:
        total = dict(sum((Counter(rules) for rules in files.values() if rules), Counter()))
        write_json(path, {"command": "python benchmarks/misra.py", "files": files, "rules": total,
                          "mandatory": {rule: total[rule] for rule in MANDATORY if rule in total}})


if __name__ == "__main__":
    sys.exit(main())
