#!/bin/bash
#
# run.sh (make bench): calls through the gateway, a bare epoll relay and a Node.js relay, the same
# load on each in turn, and one table; then leads.sh, for what leads cost inside the database.
# docs/bench.md says how it is measured and how to read it.
#
#   QUICK=1        two minutes instead of ten: one round of short windows
#   CALLS="100 200 400"   WHO="gateway relay_epoll relay_node"   WINDOW=10 (s)   ROUNDS=3
#   WRITE_DOCS=1         also writes the results into docs/bench.md
#
# Core 0 carries the process under test alone; the generator, PostgreSQL and this script are on
# core 1. All on loopback. Raw results: build/bench/results.jsonl, one object a run.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/build/bench
quick=${QUICK:-}
calls_list=${CALLS:-100 200 400}
who_list=${WHO:-gateway relay_epoll relay_node}
window=${WINDOW:-${quick:+3}}
window=${window:-10}
rounds=${ROUNDS:-${quick:+1}}
rounds=${rounds:-3}
account=AC00000000000000000000000000000001
token=0123456789abcdef0123456789abcdef
number=+15551230002

# shellcheck source=../tools/cluster.sh
[[ $who_list != *gateway* ]] || . "$root/test/tools/cluster.sh"
# shellcheck source=lib.sh
. "$here/lib.sh"

work=$(mktemp -d /tmp/bench.XXXXXX)
shared=$(mktemp -p "$([ -d /dev/shm ] && echo /dev/shm || echo "$work")" bench.XXXXXX)
clean_up()
{
	finish
	priority_lower
	rm -rf "$work" "$shared"
}
if [[ $who_list == *gateway* ]]; then
	va_at_exit clean_up
else
	trap clean_up EXIT
	trap 'exit 130' INT TERM
fi

# The database of the gateway: one tenant, whose engine is the generator.
database_start()
{
	engine_port=$(va_free_port)
	va_cluster_start --extension voiceagent.gateway_workers=0 voiceagent.max_calls=10000 \
		voiceagent.allow_insecure_engine=on \
		voiceagent.ultravox_base_url="http://127.0.0.1:$engine_port"
	va_psql > "$work/tenant" <<-END
		SELECT va_tenant_create('Benchmark', 'real_estate', '$number', voice_engine => 'ultravox',
			twilio_account_sid => '$account', settings => '{"max_concurrent_calls": 10000, "inactivity_seconds": 0}');
		SELECT va_secret_set(id, 'twilio_auth_token', '$token'), va_secret_set(id, 'ultravox_api_key', 'bench') FROM tenants;
	END
}

gateway_is_up()
{
	curl -sf -o /dev/null "http://127.0.0.1:$VA_HTTP_PORT/health"
}

# A gateway of its own for every run, so that memory is that of this run. Sets $subject.
gateway_start()
{
	local log=$work/gateway.log

	background "$log" 0 "${va_become[@]}" "$VA_BIN/voiceagent" gateway \
		--conninfo "host=$VA_SOCKET port=$VA_PORT user=voiceagent_gateway dbname=postgres"
	subject=$pid
	va_wait_until 20 gateway_is_up || { cat "$log" >&2; say "the gateway did not start"; return 1; }
}

engine_start()
{
	background "$work/engine.log" 1 "$out/load" engine --shared "$shared" --port "${engine_port:-0}" "$@"
	engine=$pid
	engine_at=$(port_of "$work/engine.log" "$engine")
}

# subject_start WHO: sets $subject and $target (options of the caller)
subject_start()
{
	case $1 in
		gateway)
			gateway_start
			target=(--webhook "http://127.0.0.1:$VA_HTTP_PORT/webhook/voice/answer" --account "$account"
				--token "$token" --to "$number" --ramp 100 --database "$VA_PID")
			return
			;;
		relay_epoll) background "$work/relay.log" 0 "$out/relay_epoll" 0 "$engine_at" ;;
		relay_node)
			NODE_PATH=$out/node/node_modules background "$work/relay.log" 0 \
				node "$here/relay_node.js" 0 "$engine_at"
			;;
	esac
	subject=$pid
	target=(--target "ws://127.0.0.1:$(port_of "$work/relay.log" "$subject")/media-stream" --ramp 200)
}

subject_stop()
{
	kill "$subject" 2> /dev/null || true
	ended "$subject"
}

# measure FILE WHO CALLS ENGINE_OPTION...: one run, its JSON appended to FILE
measure()
{
	local file=$1 who=$2 calls=$3

	shift 3
	engine_start --calls "$calls" "$@"
	subject_start "$who"
	if timeout 120 "$out/load" caller --shared "$shared" --calls "$calls" --warmup 1 \
		--seconds "$window" --watch "$subject" --label "$who" "${target[@]}" \
		> "$work/json" 2> "$work/caller.log"; then
		cat "$work/json" >> "$file"
	else
		cat "$work/caller.log" >&2
		say "$who with $calls calls: the run failed"
		status=1
	fi
	grep -v '^window open' "$work/caller.log" >&2 || true
	ended "$engine"
	subject_stop
}

# Here all of the answer is measured, the database's part too: gateway and database may use every
# core, as in production. (A new backend takes its cores from the postmaster.) The engine is silent: the
# streams of these calls never come, and its audio for thousands of them at once would be another load.
measure_webhook()
{
	local cores

	cores=0-$(($(nproc --all) - 1))
	[ "$cores" = 0-0 ] || taskset -p -c "$cores" "$VA_PID" > "$work/taskset"
	engine_start --calls 1 --silent
	subject_start gateway
	[ "$cores" = 0-0 ] || taskset -a -p -c "$cores" "$subject" > "$work/taskset"
	timeout 60 "$out/load" webhook --webhook "http://127.0.0.1:$VA_HTTP_PORT/webhook/voice/answer" \
		--account "$account" --token "$token" --to "$number" --rate 200 \
		--seconds "$window" --watch "$subject" --database "$VA_PID" --label gateway > "$work/json" || status=1
	cat "$work/json" >> "$out/webhook.jsonl"
	kill "$engine"
	ended "$engine"
	subject_stop
}

machine()
{
	echo "| what | value |"
	echo "|---|---|"
	echo "| date | $(date -u +%Y-%m-%d) |"
	echo "| processor | $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc --all) cores |"
	echo "| memory | $(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo) |"
	echo "| kernel | $(uname -sr) |"
	echo "| system | $(. /etc/os-release && echo "$PRETTY_NAME") |"
	echo "| load before the run | $load_before |"
	echo "| Node.js | $(node --version 2> /dev/null || echo none), ws $(sed -n 's/.*"ws": "\(.*\)".*/\1/p' "$here/package.json") |"
	echo "| priority (nice) | $priority |"
	echo "| windows | $rounds x $window s each |"
}

status=0
priority_raise
load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)
if [ "$(nproc --all)" -gt 1 ]; then
	taskset -p -c 1 $$ > "$work/taskset"
else
	say "one core only: generator and process under test share it; latencies mean little"
fi
"$here/build.sh" "$out"
[ -d "$out/node/node_modules/ws" ] || { who_list=${who_list/relay_node/}; say "no Node.js relay: node or npm is missing"; }
rm -f "$out"/results.jsonl "$out"/webhook.jsonl "$out"/interrupt.jsonl
[[ $who_list != *gateway* ]] || database_start

for ((round = 1; round <= rounds; round++)); do
	for calls in $calls_list; do
		for who in $who_list; do
			say "round $round of $rounds: $who, $calls calls"
			measure "$out/results.jsonl" "$who" "$calls"
		done
	done
done
for who in $who_list; do
	say "interruptions: $who, 100 calls"
	measure "$out/interrupt.jsonl" "$who" 100 --interrupt 1000
done
if [[ $who_list == *gateway* ]]; then
	say "answer webhook at 200 requests a second"
	measure_webhook
fi

{
	machine
	echo
	awk -f "$here/report.awk" "$out/results.jsonl" "$out/interrupt.jsonl" \
		$([ ! -f "$out/webhook.jsonl" ] || echo "$out/webhook.jsonl")
} > "$out/results.md"
cat "$out/results.md"
[ -z "${WRITE_DOCS:-}" ] || write_docs results "$out/results.md"
[[ $who_list != *gateway* ]] || "$here/leads.sh" "$out/leads.md" || status=1
exit $status
