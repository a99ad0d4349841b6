#!/bin/bash
# leak.sh: fifty calls through a gateway built with AddressSanitizer and UndefinedBehaviorSanitizer.
# No error, nothing leaked when it stops, and no memory that grows with the calls.
here=$(dirname "$0")
"${MAKE:-make}" -s -C "$here/../.." program SANITIZE=1 >&2 || exit 1
VA_PROGRAM=$(cd "$here/../.." && pwd)/build/asan/voiceagent
export VA_PROGRAM
. "$here/calls.sh"
# The stand-ins are not what is tested: they run without sanitizers.
LAB_SANDBOX=$VA_ROOT/build/voiceagent
# Freed memory that is kept in quarantine would look like growth. The server hands its environment on.
export ASAN_OPTIONS=quarantine_size_mb=1:detect_leaks=1:exitcode=99 UBSAN_OPTIONS=print_stacktrace=1

flow_start || exit 1
flow_tenant +15551231001 short
flow_tenant +15551231002 short-rt
flow_tenant +15551231003 hangup
ok 'the gateway learns the account' va_wait_until 10 gateway_knows_account
gateway=$(gateway_pids)
ok 'the gateway is the sanitized one' grep -q 'libasan' "/proc/$gateway/maps"

# calls NAME: 25 of them, a fifth of a second apart: some through each engine, some that the caller ends.
calls()
{
  call_begin "u$1" +15551231001 short --calls 10 --stagger-ms 400
  call_begin "r$1" +15551231002 short-rt --calls 10 --stagger-ms 400
  call_begin "h$1" +15551231003 hangup --calls 5 --stagger-ms 400
  for name in "u$1" "r$1" "h$1"; do
    call_end "$name"
    is "the calls $name end as expected" $? 0
  done
  ok "round $1: they are over in the database" va_wait_for "SELECT count(*) = 25 * $1 FROM calls WHERE status = 'completed'" 20
}
rss()
{
  awk '/^VmRSS/ { print $2 }' "/proc/$gateway/status"
}
calls 1
first=$(rss)
calls 2
second=$(rss)
echo "# $first kB after 25 calls, $second kB after 50"
# A call's state is some kilobytes; a leak of one whole call in 25 would be found by LeakSanitizer.
ok 'memory does not grow with the calls' [ $((second - first)) -le 3072 ]
is 'the gateway is the same process' "$(gateway_pids)" "$gateway"
is 'all calls ended as they should' "$(row "SELECT string_agg(DISTINCT end_reason, ' ' ORDER BY end_reason) FROM calls")" 'agent_hangup caller_hangup'
ok 'the server stops in order' va_postmaster_stop fast
ok 'the gateway has gone with it' va_is_gone "$gateway"
report=$(grep -n -e 'AddressSanitizer' -e 'LeakSanitizer' -e 'runtime error' "$VA_LOG" | head -n 20)
is 'no error, no leak' "$report" ''
is 'it ended by itself' "$(grep -c 'exit code 99' "$VA_LOG")" 0
done_testing
