#!/usr/bin/env bash
# ray 2.60.0, Python 3.11, Linux x86-64.
# A program that calls ray.init(address="local"), for a cluster of its own that ends with it, leaves a token in the home directory. From
# then on each cluster that `ray start --head` begins there asks for that token, while a program that joins it by ray.init(address=...) does
# not send it unless RAY_AUTH_MODE=token is set: it cannot join. Expected: a cluster that has ended changes nothing, or both ends heed the token.
#
# Output seen:
#   before any local run: a cluster is joined: True
#   after one local run: a token in the home directory: True
#   after one local run: a cluster is joined: False
#   the same with RAY_AUTH_MODE=token: True
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ray==2.60.0
mkdir "$folder/home"
export HOME=$folder/home RAY_USAGE_STATS_ENABLED=0 PATH="$folder/venv/bin:$PATH"
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_ADDRESS 2> /dev/null || true
cd "$folder"
cat > joins.py << 'PYTHON'
import logging
import sys

import ray

try:
    ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False, logging_level=logging.CRITICAL)
except Exception:
    sys.exit(3)
PYTHON
joined() { # whether a program joins a new cluster: True or False
  port=$(python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  # `env -u`: the cluster is started as somebody does who has set nothing.
  env -u RAY_AUTH_MODE ray start --head --block --port "$port" --num-cpus 1 --include-dashboard false --temp-dir "$folder/r$port" \
    > "$folder/head.txt" 2>&1 &
  head=$!
  for _ in $(seq 120); do grep -q "runtime started" "$folder/head.txt" && break; sleep 0.5; done
  if timeout 45 python joins.py "127.0.0.1:$port" > /dev/null 2>&1; then answer=True; else answer=False; fi
  kill "$head"; wait "$head" 2> /dev/null || true
  echo "$answer"
}
before=$(joined)
python -c 'import ray; ray.init(address="local", include_dashboard=False); ray.shutdown()' > /dev/null 2>&1
token=$([ -s "$HOME/.ray/auth_token" ] && echo True || echo False)
after=$(joined)
with_mode=$(RAY_AUTH_MODE=token joined)
echo "before any local run: a cluster is joined: $before"
echo "after one local run: a token in the home directory: $token"
echo "after one local run: a cluster is joined: $after"
echo "the same with RAY_AUTH_MODE=token: $with_mode"
[ "$before $token $after $with_mode" = "True True False True" ]
