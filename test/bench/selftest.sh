#!/bin/bash
#
# selftest.sh: proves that the load generator can be trusted before its numbers are: it loses
# nothing against the bare relay, and it sees and counts exactly what a relay does wrong that was
# made to drop, double, swap, spoil or delay. Prints TAP. About 25 seconds.
#
# Only counts and lower bounds are tested, so a busy machine cannot fail it.
set -u

here=$(cd "$(dirname "$0")" && pwd)
out=${BENCH_BUILD:-$here/../../build/bench}
calls=${CALLS:-100}
# shellcheck source=lib.sh
. "$here/lib.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/bench.XXXXXX")
trap 'finish; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
tests=0
failed=0

ok()
{
	tests=$((tests + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tests - $2"
	else
		echo "not ok $tests - $2"
		failed=$((failed + 1))
		[ -s "$work/json" ] && sed 's/^/# /' "$work/json"
		[ -s "$work/caller.log" ] && sed 's/^/# /' "$work/caller.log"
	fi
}

# is FIELD OPERATOR VALUE of the last run; numbers may have decimals
is()
{
	awk -v a="$(field "$work/json" "$1")" -v b="$3" "BEGIN { exit !(a != \"\" && a + 0 $2 b + 0) }"
}

# run ENGINE_OPTIONS RELAY_COMMAND...: two seconds of all calls; $work/json holds the result
run()
{
	local options=$1 engine relay caller

	shift
	: > "$work/json"
	: > "$work/caller.log"
	# shellcheck disable=SC2086
	background "$work/engine.log" 1 "$out/load" engine --shared "$work/shared" --calls "$calls" $options
	engine=$pid
	background "$work/relay.log" 0 "${@:1:1}" "${@:2:1}" "$(port_of "$work/engine.log" "$engine")" "${@:3}"
	relay=$pid
	"$out/load" caller --shared "$work/shared" --calls "$calls" --warmup 0.5 --seconds 2 \
		--target "ws://127.0.0.1:$(port_of "$work/relay.log" "$relay")/media-stream" \
		--watch "$relay" --label test > "$work/json" 2> "$work/caller.log" &
	caller=$!
	started+=("$caller")
	[ -z "${during:-}" ] || $during
	ended "$caller"
	kill "$relay"
	ended "$relay"
	ended "$engine"
}

# Both directions of the last run have FIELD OPERATOR VALUE.
both()
{
	is "to_engine_$1" "$2" "$3" && is "to_caller_$1" "$2" "$3"
}

# FIELD is one in thousand of what was sent, both ways, give or take two at the window's edges.
one_in_thousand()
{
	local way sent count

	for way in to_engine to_caller; do
		sent=$(field "$work/json" "${way}_sent")
		count=$(field "$work/json" "${way}_$1")
		[ -n "$count" ] && [ "$count" -ge $((sent / 1000 - 2)) ] &&
			[ "$count" -le $((sent / 1000 + 3)) ] && [ "$count" -gt 0 ] || return 1
	done
}

nothing_wrong()
{
	local what

	for what in lost duplicate reordered corrupt foreign silence stalled; do
		both $what == 0 || return 1
	done
	is failed_calls == 0 && is lost_calls == 0
}

# In mid-window the engine stands still for at least 0.3 s, as on an overloaded machine.
hold_engine()
{
	for _ in $(seq 1000); do
		grep -q 'window open' "$work/caller.log" && break
		sleep 0.01
	done
	kill -STOP "$engine"
	sleep 0.3
	kill -CONT "$engine"
}

"$here/build.sh" "$out" || { echo "Bail out! the benchmark does not build"; exit 1; }

"$out/load" check > "$work/check"
ok $? "the instrument's own parts ($(grep -c '^ok' "$work/check") checks)"
grep '^not ok' "$work/check" | sed 's/^/# /'

run "" "$out/relay_epoll" 0
nothing_wrong; ok $? "bare relay: every frame arrives once, in order, unspoilt"
both sent '>=' $((calls * 95)); ok $? "bare relay: frames are sent at full rate"

if [ -d "$out/node/node_modules/ws" ]; then
	export NODE_PATH=$out/node/node_modules
	cat > "$work/relay_node" <<-END
		#!/bin/sh
		exec node "$here/relay_node.js" "\$@"
	END
	chmod +x "$work/relay_node"
	run "" "$work/relay_node" 0
	both lost == 0 && both corrupt == 0 && both foreign == 0
	ok $? "Node.js relay: the same audio through another codec, bit for bit"
else
	ok 0 "Node.js relay # SKIP ws is not installed"
fi

run "" "$out/relay_faulty" 0 drop=1000
one_in_thousand lost && both duplicate == 0 && both corrupt == 0
ok $? "a relay that drops every 1000th frame is caught, to the frame"

run "" "$out/relay_faulty" 0 double=1000
one_in_thousand duplicate && both lost == 0
ok $? "a relay that doubles every 1000th frame is caught"

run "" "$out/relay_faulty" 0 swap=1000
one_in_thousand reordered && both lost == 0
ok $? "a relay that swaps frames is caught"

run "" "$out/relay_faulty" 0 spoil=1000
one_in_thousand corrupt && one_in_thousand lost
ok $? "a relay that changes one byte in every 1000th frame is caught"

run "" "$out/relay_faulty" 0 drop=1000 delay=3
both min_us '>=' 3000 && both p50_us '>=' 3000 && one_in_thousand lost
ok $? "a relay that adds 3 ms is measured as such, its losses beside it"

run "--interrupt 500" "$out/relay_epoll" 0
is interrupts '>' 0 && is clears == "$(field "$work/json" interrupts)" && is clears_unasked == 0
ok $? "every interruption is matched with its clear"

during=hold_engine run "" "$out/relay_epoll" 0
is to_caller_late_max_us '>=' 250000 && is to_engine_max_us '>=' 250000 && nothing_wrong
ok $? "a generator that falls behind shows it, and loses nothing"

echo "1..$tests"
exit $((failed > 0))
