"""`make fuzz`: all parts, one after the other; the last line is a summary, the exit code 1 when one fell short."""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
DOWNLOADS = HERE.parents[1] / ".fuzz"
SECONDS = 60


def run(name: str, *arguments: str) -> bool:
    """Run a part and tell whether it ended well."""
    print(f"--- {name} {' '.join(arguments)}", flush=True)
    return subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments]).returncode == 0


def main() -> int:
    """Run all parts."""
    has_atheris = importlib.util.find_spec("atheris") is not None
    results = {"corpus": run("corpus", str(DOWNLOADS))}
    with tempfile.TemporaryDirectory() as corpus:
        if has_atheris:
            results["atheris"] = run("decoder", str(SECONDS), corpus)
        else:
            print(
                "atheris is not installed (pip install atheris, Linux): the damage at random takes its time"
            )
    results["mutate"] = run("mutate", str(20 if has_atheris else SECONDS))
    results["memory"] = run("memory")
    told = ", ".join(f"{name} {'ok' if is_ok else 'FAILED'}" for name, is_ok in results.items())
    print(f"fuzz: {told}{'' if has_atheris else '; atheris was not run'}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
