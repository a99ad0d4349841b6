#!/bin/bash
# postmaster_kill.sh: kill -9 of the postmaster in mid-call. All our programs are gone within a
# second, the server starts again at once, and when it is back quickly the calls go on.
. "$(dirname "$0")/calls.sh"

flow_start || exit 1
two_errands
ok 'both agents speak' va_wait_until 30 both_under_way agent 'From Monday'
programs="$(gateway_pids) $(pgrep -P "$VA_PID" -f 'voiceagent ' | tr '\n' ' ')"
ok 'there are programs of ours' [ "$(wc -w <<<"$programs")" -ge 3 ]

all_gone()
{
  local pid
  for pid in $programs; do
    va_is_gone "$pid" || return 1
  done
}
began=$(now_ms)
va_cluster_kill
ok 'they are all gone' va_wait_until 10 all_gone
took=$(($(now_ms) - began))
echo "# gone after $took ms"
ok 'within a second' [ $took -le 1000 ]
ok 'the server starts at once' va_postmaster_start
echo "# the server answers after $(($(now_ms) - began)) ms"
ok 'the gateway is back' va_wait_until 10 lab_gateway_healthy
echo "# the gateway answers after $(($(now_ms) - began)) ms"
for name in errand errand-rt; do
  call_end $name
  is "$name ends as expected" $? 0
  ok "$name is over in the database" call_over_in_database $name
done
ledgers_load
for name in errand errand-rt; do
  is "$name: it took two streams" "$(row "SELECT result ->> 'streams' FROM test.results WHERE scenario = '$name'")" 2
  is "$name: no turn is lost" "$(lost_turns $name)" ''
  ok "$name: the sentence that was torn is marked" [ "$(interrupted $name agent)" -ge 1 ]
done
is 'there are two calls, no more' "$(row 'SELECT count(*) FROM calls')" 2
done_testing
