#!/bin/bash
# gateway_crash.sh: the gateway dies in mid-call, once while the agent speaks and once while the
# caller does. The server does not notice, the gateway is back within a second, and both calls go on
# to their end with nothing lost.
. "$(dirname "$0")/calls.sh"

flow_start log_timezone=UTC || exit 1
two_errands
before=$(server_start)

# When the newest gateway began to listen, by the server's log: our own looking comes late on a busy
# machine.
listening_ms()
{
  date -d "$(sed -n 's/^\([0-9: .-]*UTC\) .* listens on .*/\1/p' "$VA_LOG" | tail -n 1)" +%s%3N
}

# kill_gateway SIGNAL: and measures how long nobody listens.
kill_gateway()
{
  local old began
  old=$(gateway_pids)
  began=$(now_ms)
  kill "-$1" "$old"
  ok "SIG$1: it is dead" va_wait_until 5 va_is_gone "$old"
  ok "SIG$1: a new one answers" va_wait_until 10 lab_gateway_healthy
  took=$(($(listening_ms) - began))
  echo "# SIG$1: back after $took ms"
  ok "SIG$1: within a second" [ $took -le 1000 ]
  ok "SIG$1: it is another process" new_gateway "$old"
}

ok 'both agents speak' va_wait_until 30 both_under_way agent 'From Monday'
kill_gateway SEGV
ok 'the conversation goes on' va_wait_until 30 under_way errand-rt user 'And where'
kill_gateway KILL
for name in errand errand-rt; do
  call_end $name
  is "$name ends as expected" $? 0
  ok "$name is over in the database" call_over_in_database $name
done
ledgers_load
is 'the server did not restart' "$(server_start)" "$before"
is 'there are two calls, no more' "$(row 'SELECT count(*) FROM calls')" 2
for name in errand errand-rt; do
  is "$name: it took three streams" "$(row "SELECT result ->> 'streams' FROM test.results WHERE scenario = '$name'")" 3
  is "$name: and was resumed twice" "$(row "SELECT resume_count FROM calls WHERE twilio_call_sid = '$(call_sid $name)'")" 2
  is "$name: each stream is on record" "$(row "SELECT count(DISTINCT stream_sid) FROM call_timings WHERE twilio_call_sid = '$(call_sid $name)'")" 3
  is "$name: no turn is lost" "$(lost_turns $name)" ''
  ok "$name: the sentence that was torn is marked" [ "$(interrupted $name agent)" -ge 1 ]
  is "$name: it ended as it should" "$(row "SELECT end_reason FROM calls WHERE twilio_call_sid = '$(call_sid $name)'")" agent_hangup
done
is 'each death is logged' "$(grep -c 'terminated by signal' "$VA_LOG")" 2
done_testing
