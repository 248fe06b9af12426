"""`make fuzz`: all parts, one after the other; the last line is a summary, the exit code 1 when one fell short."""

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from judge import Surprise, judge, require_good_one

HERE = Path(__file__).parent
DOWNLOADS = HERE.parents[1] / ".fuzz"
SECONDS = 60


def run(name: str, *arguments: str) -> bool:
    """Run a part and tell whether it ended well."""
    print(f"--- {name} {' '.join(arguments)}", flush=True)
    return subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments]).returncode == 0


def run_atheris() -> bool:
    """Run the harness for atheris; what kills it there must not kill this process by its children."""
    print(f"--- atheris, {SECONDS} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "decoder.py"), str(SECONDS), folder]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        found = [
            path for path in Path(folder).iterdir() if path.name.startswith(("crash-", "oom-", "timeout-"))
        ]
        runs = re.findall(r"Done \d+ runs in \d+ second\(s\)", done.stderr)
        print(f"atheris: {runs[-1] if runs else f'ended with {done.returncode}'}, {len(found)} inputs found")
        if not runs and not found:
            print(done.stderr[-2000:])
            return False
        for path in found:
            data = path.read_bytes()
            (DOWNLOADS / path.name).write_bytes(data)
            counts: Counter[str] = Counter()
            try:
                judge(data, counts)
                require_good_one()
            except Surprise as surprise:
                print(f"{path.name}, kept in {DOWNLOADS}: {surprise}")
                return False
            print(
                f"{path.name}, kept in {DOWNLOADS}: kills its process, and through a child it is {dict(counts)}"
            )
    return True


def main() -> int:
    """Run all parts."""
    DOWNLOADS.mkdir(exist_ok=True)
    has_atheris = importlib.util.find_spec("atheris") is not None
    results = {"corpus": run("corpus", str(DOWNLOADS))}
    if has_atheris:
        results["atheris"] = run_atheris()
    else:
        print("atheris is not installed (pip install atheris, Linux): the damage at random takes its time")
    results["mutate"] = run("mutate", str(20 if has_atheris else SECONDS))
    results["memory"] = run("memory")
    told = ", ".join(f"{name} {'ok' if is_ok else 'FAILED'}" for name, is_ok in results.items())
    print(f"fuzz: {told}{'' if has_atheris else '; atheris was not run'}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
