#!/bin/bash
#
# outbox.sh (part of make bench): effects through the outbox to a sink on this machine, beside a plain
# loop with one connection and graphile-worker. docs/bench.md says how it is measured and how to read it.
#
#   EFFECTS=20000   HISTORY=5000000   BLOCKED=1000000   PROBES=300
#   FSYNC=on        commits wait for the disk; off: the disk is not measured, as in the rest of make bench
#   QUICK=1         a history of 200,000, 100,000 blocked, 100 probes
#   WRITE_DOCS=1    also writes the results into docs/bench.md
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/build/bench
quick=${QUICK:-}
effects=${EFFECTS:-20000}
history=${HISTORY:-${quick:+200000}}
history=${history:-5000000}
blocked=${BLOCKED:-${quick:+100000}}
blocked=${blocked:-1000000}
probes=${PROBES:-${quick:+100}}
probes=${probes:-300}

# shellcheck source=../tools/cluster.sh
. "$root/test/tools/cluster.sh"
# shellcheck source=../tools/providers.sh
. "$root/test/tools/providers.sh"
# shellcheck source=lib.sh
. "$here/lib.sh"
work=$(mktemp -d /tmp/bench.XXXXXX)
va_at_exit 'priority_lower; rm -rf "$work"'
results=$out/outbox.jsonl

node_client()
{
	PGHOST=$VA_SOCKET PGPORT=$VA_PORT PGUSER=$VA_USER PGDATABASE=postgres BENCH_TENANT=$tenant \
		NODE_PATH=$out/node/node_modules node "$here/outbox_client.mjs" "$@"
}

# keep NAME JSON: adds the measurement to the results
keep()
{
	printf '{"what":"%s",%s\n' "$1" "${2#\{}" | tee -a "$results" >&2
}

# The server's CPU so far, of ended sessions too, in hundredths of a second.
server_cpu()
{
	local pid
	for pid in "$VA_PID" $(pgrep -P "$VA_PID"); do
		awk '{ sub(/.*\) /, ""); print $12 + $13 + (NR == 1 && "'"$pid"'" == "'"$VA_PID"'" ? $14 + $15 : 0) }' "/proc/$pid/stat" 2> /dev/null || true
	done | awk '{ s += $1 } END { print s }'
}

# Waits until the server does nothing any more: what a session did counts when the postmaster has collected its process,
# some time after its client has left. Prints server_cpu.
server_calm()
{
	local before now
	before=$(server_cpu)
	for _ in $(seq 100); do
		sleep 0.2
		now=$(server_cpu)
		[ $((now - before)) -gt 1 ] || break
		before=$now
	done
	echo "$now"
}

# The server makes a session of its own of each of its processes, so that none has our priority: they are given it as they
# come, those of the baselines as well.
server_priority()
{
	local pid
	while sleep 0.3; do
		for pid in $(cat "/proc/$VA_PID/task/$VA_PID/children" 2> /dev/null); do
			{ echo "$priority" > "/proc/$pid/autogroup"; } 2> /dev/null || true
		done
	done
}

dispatcher_start()
{
	"${va_become[@]}" "$VA_BIN/voiceagent" dispatcher --name dp-bench \
		--conninfo "host=$VA_SOCKET port=$VA_PORT user=voiceagent_dispatcher dbname=postgres" > "$VA_DIR/dispatcher.log" 2>&1 &
	dispatcher=$!
	va_wait_for "SELECT count(*) > 0 FROM outbox_dispatchers WHERE name = 'dp-bench' AND started_at > now() - interval '5 seconds'" 20
}

dispatcher_stop()
{
	[ -z "${dispatcher:-}" ] || { kill "$dispatcher" 2> /dev/null || true; wait "$dispatcher" 2> /dev/null || true; }
	dispatcher=
}

# drain NAME: adds all effects while no dispatcher runs, then lets one take them
drain()
{
	local name=$1 before cpu us last
	last=$(va_psql -c "SELECT coalesce(max(id), 0) FROM outbox")
	say "$name: $effects effects"
	va_psql -c "SELECT count(va_outbox_add(NULL, 'sink.post', '$name-' || n)) FROM generate_series(1, $effects) n" \
		-c "VACUUM (ANALYZE) outbox" > /dev/null
	before=$(server_calm)
	dispatcher_start
	va_wait_for "SELECT NOT EXISTS (SELECT FROM outbox WHERE id > $last)" 300
	cpu=$(($(server_cpu) - before))
	us=$(awk '{ sub(/.*\) /, ""); print ($12 + $13) * 10000 / '"$effects"' }' "/proc/$dispatcher/stat")
	dispatcher_stop
	keep "$name" "$(va_psql -c "SELECT json_build_object('effects', count(*), 'per_second', round(count(*) / extract(epoch FROM max(finished_at) - min(started_at))),
		'server_us', round($cpu * 10000.0 / count(*), 1), 'dispatcher_us', round($us, 1)) FROM outbox_history WHERE attempt_key LIKE '$name-%'" | tr -d ' ')"
	va_psql -c "DELETE FROM outbox_history WHERE attempt_key LIKE '$name-%'"
}

MAKE=${MAKE:-make} "$here/build.sh" "$out"
mkdir -p "$out"
: > "$results"
load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)
priority_raise
va_cluster_start --extension voiceagent.gateway_workers=0 voiceagent.dispatcher_workers=0 voiceagent.allow_private_urls=on \
	shared_buffers=256MB max_wal_size=4GB fsync="${FSYNC:-off}"
va_at_exit dispatcher_stop
if [ -n "$autogroup" ]; then
	server_priority &
	started+=($!)
	va_at_exit finish
fi
PROVIDERS_URL=http://127.0.0.1:$(va_free_port)
PROVIDERS_LEDGER=/dev/null
va_at_exit providers_stop
providers_restart
tenant=$(va_psql -c "INSERT INTO settings (name, value) VALUES ('sink_url', to_jsonb('$PROVIDERS_URL/sink'::text))" \
	-c "SELECT va_tenant_create('Bench', 'general', NULL)")

drain warming_up # tables, indexes and the disk's files are made once
drain outbox
say "latency, idle"
dispatcher_start
keep latency_idle "$(node_client latency "$probes" 5)"
say "latency, under load"
for n in $(seq 0 1000 $((effects * 3 - 1))); do
	echo "SELECT count(va_outbox_add(NULL, 'sink.post', 'load-' || n)) FROM generate_series($n, $n + 999) n;"
done > "$work/load.sql"
va_psql < "$work/load.sql" > /dev/null &
adding=$!
keep latency_loaded "$(node_client latency "$probes" 5)"
wait $adding
dispatcher_stop
va_psql -c "TRUNCATE outbox, outbox_history"

say "$blocked effects of a tenant whose service is down"
va_psql <<- END
	INSERT INTO tenants (name, slug, industry) VALUES ('Down', 'down', 'x');
	INSERT INTO outbox (tenant_id, kind, attempt_key, lane) SELECT t.id, 'sink.post', 'blocked-' || n, 'bulk' FROM tenants t, generate_series(1, $blocked) n WHERE slug = 'down';
	INSERT INTO outbox_queues (queue, tenant_id, provider, breaker, failures, blocked_until) SELECT queue, tenant_id, provider, 'open', 9, now() + interval '1 day' FROM outbox LIMIT 1;
	VACUUM ANALYZE outbox;
END
drain outbox_beside_blocked
va_psql -c "TRUNCATE outbox, outbox_queues"

say "a history of $history"
va_psql <<- END
	INSERT INTO outbox_history (id, kind, attempt_key, lane, outcome, attempts, created_at) SELECT -n, 'sink.post', 'old-' || n, 'bulk', 'done', 1, now() FROM generate_series(1, $history) n;
	VACUUM ANALYZE outbox_history;
	CHECKPOINT;
END
drain outbox_long_history
va_psql -c "TRUNCATE outbox_history"

if [ -d "$out/node/node_modules/graphile-worker" ]; then
	say "a plain loop"
	keep loop "$(node_client loop $((effects / 10)) "$PROVIDERS_URL/sink/post")"
	say "graphile-worker"
	keep graphile_worker "$(node_client graphile "$effects" "$PROVIDERS_URL/sink/post")"
else
	say "no baselines: node or npm is missing"
fi

value()
{
	sed -n "/\"what\":\"$1\"/s/.*\"$2\":\\([0-9.]*\\).*/\\1/p" "$results"
}

row()
{
	[ -z "$(value "$2" per_second)" ] || echo "| $1 | $(value "$2" per_second) | $(value "$2" server_us) | $(value "$2" dispatcher_us) |"
}

ms()
{
	awk -v us="$(value "$1" "$2")" 'BEGIN { printf "%.2f", us / 1000 }'
}

# The server's cost of an effect against that without all the other rows.
times()
{
	awk -v a="$(value "$1" server_us)" -v b="$(value outbox server_us)" 'BEGIN { printf "%.2f x", a / b }'
}

judged()
{
	awk -v what="$1" -v wanted="$2" -v got="$3" -v met="$4" 'BEGIN { printf "| %s | %s | %s | %s |\n", what, wanted, got, (met == 1 ? "met" : "**not met**") }'
}

{
	echo "| | |"
	echo "|---|---|"
	echo "| date | $(date -u +%Y-%m-%d) |"
	echo "| processor | $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc --all) cores, for server, dispatcher, sink and client together |"
	echo "| load before the run | $load_before |"
	echo "| priority (nice) | $priority |"
	echo "| fsync | ${FSYNC:-off} |"
	echo "| effects of a run | $effects |"
	echo
	echo "| | effects a second | server's CPU an effect, us | dispatcher's, us |"
	echo "|---|---:|---:|---:|"
	row "outbox, one dispatcher" outbox
	row "… beside $blocked effects that an open breaker holds back" outbox_beside_blocked
	row "… with a history of $history" outbox_long_history
	row "graphile-worker, 50 at once" graphile_worker
	row "plain loop, one connection" loop
	echo
	echo "| COMMIT answered to the request's arrival | p50, ms | p99, ms | longest, ms |"
	echo "|---|---:|---:|---:|"
	echo "| idle | $(ms latency_idle p50_us) | $(ms latency_idle p99_us) | $(ms latency_idle max_us) |"
	echo "| while $((effects * 3)) others are added and carried out | $(ms latency_loaded p50_us) | $(ms latency_loaded p99_us) | $(ms latency_loaded max_us) |"
	echo
	echo "| target | wanted | measured | |"
	echo "|---|---|---|---|"
	judged "effects a second, one dispatcher" ">= 5000" "$(value outbox per_second)" "$(awk -v n="$(value outbox per_second)" 'BEGIN { print (n >= 5000) }')"
	judged "commit to first byte, idle, p50" "<= 3 ms" "$(ms latency_idle p50_us) ms" "$(awk -v n="$(value latency_idle p50_us)" 'BEGIN { print (n <= 3000) }')"
	judged "commit to first byte, idle, p99" "<= 20 ms" "$(ms latency_idle p99_us) ms" "$(awk -v n="$(value latency_idle p99_us)" 'BEGIN { print (n <= 20000) }')"
	judged "commit to first byte, under load, p99" "<= 20 ms" "$(ms latency_loaded p99_us) ms" "$(awk -v n="$(value latency_loaded p99_us)" 'BEGIN { print (n <= 20000) }')"
	judged "an effect's cost beside $blocked held back against none" "<= 1.2 x" "$(times outbox_beside_blocked)" "$(awk -v x="$(times outbox_beside_blocked)" 'BEGIN { print (x + 0 <= 1.2) }')"
	judged "an effect's cost with a history of $history against none" "<= 1.2 x" "$(times outbox_long_history)" "$(awk -v x="$(times outbox_long_history)" 'BEGIN { print (x + 0 <= 1.2) }')"
} > "$out/outbox.md"
cat "$out/outbox.md"
[ -z "${WRITE_DOCS:-}" ] || write_docs outbox "$out/outbox.md"
