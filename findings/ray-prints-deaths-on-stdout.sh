#!/usr/bin/env bash
# ray 2.60.0, Python 3.11, Linux x86-64.
# ray.init(log_to_driver=False) keeps what workers print away, but when a worker process is killed the driver's own standard output gets a coloured
# paragraph "(raylet) A worker died ...": a program that prints JSON there has invalid output. Expected: nothing on standard output, as asked.
#
# Output seen:
#   lines on standard output: 2, those of the program itself: 1
#   the other begins with "(raylet)": True
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ray==2.60.0
mkdir "$folder/home"
export HOME=$folder/home RAY_USAGE_STATS_ENABLED=0
cd "$folder"
cat > program.py << 'PYTHON'
import logging
import os
import signal
import time

import ray

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False, logging_level=logging.CRITICAL)


@ray.remote(max_restarts=0)
class Actor:
    def process_id(self):
        return os.getpid()

    def wait(self):
        time.sleep(600)


actor = Actor.remote()
process_id = ray.get(actor.process_id.remote())
waiting = actor.wait.remote()
os.kill(process_id, signal.SIGKILL)
try:
    ray.get(waiting)
except ray.exceptions.RayError:
    pass
time.sleep(5)
print('{"a": 1}', flush=True)
ray.shutdown()
PYTHON
"$folder/venv/bin/python" program.py > out.txt 2> /dev/null
"$folder/venv/bin/python" - << 'PYTHON'
import re
import sys

lines = [re.sub(r"\x1b\[\d*m", "", line) for line in open("out.txt").read().splitlines() if line.strip()]
others = [line for line in lines if line != '{"a": 1}']
print(f"lines on standard output: {len(lines)}, those of the program itself: {len(lines) - len(others)}")
print(f'the other begins with "(raylet)": {bool(others) and others[0].startswith("(raylet)")}')
sys.exit(not (len(others) == 1 and others[0].startswith("(raylet)")))
PYTHON
