# lib.sh: what run.sh and selftest.sh share: starting a program, waiting for its port, one run of
# the load generator, reading its flat JSON. Sourced by bash.

# Programs this script started, to be ended by pid whatever happens.
started=()

finish()
{
	local pid

	for pid in "${started[@]}"; do
		kill "$pid" 2> /dev/null || true
	done
	for pid in "${started[@]}"; do
		wait "$pid" 2> /dev/null || true
	done
	started=()
}

# pinned CORE COMMAND...: becomes the command, on one core, where there is more than one
pinned()
{
	local core=$1

	shift
	if [ "$(nproc --all)" -gt 1 ] && command -v taskset > /dev/null; then
		exec taskset -c "$core" "$@"
	fi
	exec "$@"
}

# background LOG CORE COMMAND...: starts it; its pid is in $pid
background()
{
	local log=$1

	shift
	: > "$log" # here, not in the child: nobody must read the log of the run before
	(pinned "$@") > "$log" 2>&1 &
	pid=$!
	started+=("$pid")
}

# ended PID: waits for it and forgets it
ended()
{
	local kept=() p

	wait "$1" 2> /dev/null || true
	for p in "${started[@]}"; do
		[ "$p" = "$1" ] || kept+=("$p")
	done
	started=("${kept[@]}")
}

# port_of LOG PID: the port it says it listens on, as soon as it says so
port_of()
{
	local port

	for _ in $(seq 500); do
		port=$(awk '$1 == "listening" { print $2; exit }' "$1")
		[ -n "$port" ] && { echo "$port"; return; }
		kill -0 "$2" 2> /dev/null || break
		sleep 0.02
	done
	echo "no port in $1:" >&2
	cat "$1" >&2
	return 1
}

# field JSON_FILE NAME: a number or a label of the flat object that the generator prints
field()
{
	sed -n "s/.*[{,]\"$2\":\"\\{0,1\\}\\([^,\"}]*\\).*/\\1/p" "$1"
}

say()
{
	echo "bench: $*" >&2
}

# All that is measured goes before whatever else this machine does, where we may ask for it: by its
# nice value inside this session, by the session's own (sched_autogroup) beside the others.
priority_raise()
{
	priority=0
	autogroup=
	if renice -n -15 $$ > "$work/renice" 2>&1; then
		priority=-15
		autogroup=$(sed -n 's/.* nice //p' "/proc/$$/autogroup" 2> /dev/null || true)
		[ -z "$autogroup" ] || echo -15 2> /dev/null > "/proc/$$/autogroup" || autogroup=
	fi
}

# Gives the session's own priority back.
priority_lower()
{
	[ -z "${autogroup:-}" ] || echo "$autogroup" > "/proc/$$/autogroup"
}

# write_docs NAME FILE: puts it between the two markers of this name in docs/bench.md.
write_docs()
{
	local docs

	docs=$(awk -v begin="<!-- $1 -->" -v end="<!-- end of $1 -->" -v results="$2" '
		$0 == end { skip = 0 }
		!skip { print }
		$0 == begin { print ""; while ((getline line < results) > 0) print line; print ""; skip = 1 }' "$root/docs/bench.md")
	printf '%s\n' "$docs" > "$root/docs/bench.md"
}
