#!/usr/bin/env bash
# Runs a command against a live Penstock with the simulator behind it:
#
#   loadtest/live.sh TRANSPORT COMMAND [ARGUMENT…]
#
# TRANSPORT is `epoll` or `io_uring`. The command finds the proxy in BASE_URL, its admin
# listener in ADMIN_URL, and what OpenAI's clients read in OPENAI_BASE_URL and
# OPENAI_API_KEY. PENSTOCK names the binary (default: target/debug/penstock).
#
# The exit code is the command's. It is 1, and the logs are printed, when the proxy does
# not start, logs an error, or does not drain and end well after SIGTERM.
set -euo pipefail

transport=$1
shift
penstock=${PENSTOCK:-$(dirname "$0")/../target/debug/penstock}
folder=$(mktemp -d)
simulator=
proxy=

clean_up() {
    local pids=($proxy $simulator)
    if ((${#pids[@]})); then
        kill -KILL "${pids[@]}" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap clean_up EXIT

fail() {
    echo "live.sh: $1" >&2
    cat "$folder"/*.log >&2
    exit 1
}

# Waits until a file has text that a pattern with one group matches; prints the group.
await() {
    local file=$1 pattern=$2 found
    for _ in {1..100}; do
        found=$(sed -nE "s|.*$pattern.*|\\1|p" "$file" | head -n 1)
        if [[ -n $found ]]; then
            echo "$found"
            return
        fi
        sleep 0.1
    done
    return 1
}

configuration() {
    cat <<EOF
server:
  listen: [{ address: "127.0.0.1:0" }]
  admin: "127.0.0.1:0"
  transport: $transport
  workers: 2
  log: { format: json, access: off }
upstreams:
  simulator: { endpoints: ["$1"] }
  # The discard port: nobody listens there.
  down: { endpoints: ["127.0.0.1:9"] }
routes:
  - name: down
    match: { headers: { x-test-route: down } }
    split: [{ upstream: down }]
  - name: renamed
    match: { path: { prefix: /v1 }, methods: [POST], models: ["gpt-*"] }
    split: [{ upstream: simulator, model: simulator-large }]
  - name: chat
    match: { path: { prefix: /v1/chat } }
    split: [{ upstream: simulator }]
  - name: embeddings
    match: { path: { exact: /v1/embeddings } }
    split: [{ upstream: simulator }]
  - name: models
    match: { path: { prefix: /v1/models }, methods: [GET] }
    split: [{ upstream: simulator }]
EOF
}

"$penstock" simulate --listen 127.0.0.1:0 --first-token 20ms --between-tokens 5ms --tokens 32 \
    >"$folder/simulator.log" 2>&1 &
simulator=$!
disown "$simulator"
upstream=$(await "$folder/simulator.log" 'http://([0-9.:]+)') || fail "the simulator did not start"

configuration "$upstream" >"$folder/penstock.yaml"
"$penstock" run --config "$folder/penstock.yaml" >"$folder/penstock.log" 2>&1 &
proxy=$!
address=$(await "$folder/penstock.log" '"listening","address":"([0-9.:]+)"') \
    || fail "the proxy did not start"
admin=$(await "$folder/penstock.log" '"admin listener","address":"([0-9.:]+)"') \
    || fail "the admin listener did not start"

status=0
BASE_URL="http://$address" \
    ADMIN_URL="http://$admin" \
    OPENAI_BASE_URL="http://$address/v1" \
    OPENAI_API_KEY=none \
    "$@" || status=$?

kill -TERM "$proxy"
wait "$proxy" || fail "the proxy ended with exit code $?"
proxy=
if grep -q '"level":"ERROR"' "$folder/penstock.log"; then
    fail "the proxy logged errors"
fi
exit "$status"
