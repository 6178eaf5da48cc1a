#!/usr/bin/env bash
# Runs a command against a live Penstock with the simulator behind it:
#
#   loadtest/live.sh TRANSPORT COMMAND [ARGUMENT…]
#
# TRANSPORT is `epoll` or `io_uring`. The command finds the proxy in BASE_URL and TARGET, its
# admin listener in ADMIN_URL, what OpenAI's clients read in OPENAI_BASE_URL and
# OPENAI_API_KEY, and how the simulator is set in FIRST_TOKEN_MS and PACE_MS. PENSTOCK names
# the binary (default: target/debug/penstock), LIVE_CONFIG the configuration (default:
# live.yaml beside this script), in which @TRANSPORT@, @UPSTREAM@ and @FOLDER@ stand for
# the transport, the simulator's address and the configuration's folder. With LIVE_FAULTS
# there is a second simulator, named `faulty`, that has these faults, at @FAULTY@.
#
# The exit code is the command's. It is 1, and the logs are printed, when the proxy does
# not start, logs an error, or does not drain and end well after SIGTERM.
set -euo pipefail

transport=$1
shift
penstock=${PENSTOCK:-$(dirname "$0")/../target/debug/penstock}
template=${LIVE_CONFIG:-$(dirname "$0")/live.yaml}
first_token_ms=20
pace_ms=5
folder=$(mktemp -d)
simulator=
faulty=
proxy=

# shellcheck disable=SC2317 # The trap calls it.
clean_up() {
    local pid
    for pid in $proxy $simulator $faulty; do
        kill -KILL "$pid" 2>/dev/null || true
    done
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

"$penstock" simulate --listen 127.0.0.1:0 --tokens 32 --first-token "${first_token_ms}ms" \
    --between-tokens "${pace_ms}ms" >"$folder/simulator.log" 2>&1 &
simulator=$!
disown "$simulator"
upstream=$(await "$folder/simulator.log" 'http://([0-9.:]+)') || fail "the simulator did not start"

failing=
if [[ -n ${LIVE_FAULTS:-} ]]; then
    "$penstock" simulate --listen 127.0.0.1:0 --name faulty --faults "$LIVE_FAULTS" \
        --first-token "${first_token_ms}ms" >"$folder/faulty.log" 2>&1 &
    faulty=$!
    disown "$faulty"
    failing=$(await "$folder/faulty.log" 'http://([0-9.:]+)') || fail "the faulty simulator did not start"
fi

sed -e "s|@TRANSPORT@|$transport|g" -e "s|@UPSTREAM@|$upstream|g" -e "s|@FOLDER@|$folder|g" \
    -e "s|@FAULTY@|$failing|g" \
    "$template" >"$folder/penstock.yaml"
"$penstock" run --config "$folder/penstock.yaml" >"$folder/penstock.log" 2>&1 &
proxy=$!
address=$(await "$folder/penstock.log" '"listening","address":"([0-9.:]+)"') \
    || fail "the proxy did not start"
admin=$(await "$folder/penstock.log" '"admin listener","address":"([0-9.:]+)"') \
    || fail "the admin listener did not start"

status=0
BASE_URL="http://$address" \
    TARGET="http://$address" \
    FIRST_TOKEN_MS=$first_token_ms \
    PACE_MS=$pace_ms \
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
