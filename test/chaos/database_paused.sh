#!/bin/bash
# database_paused.sh: every process of the server is stopped for five seconds in mid-call. The
# conversation does not notice: audio flows both ways without a gap; what it could not store meanwhile
# is stored afterwards, in order and complete.
. "$(dirname "$0")/calls.sh"

flow_start || exit 1
two_errands
server=
resume()
{
  # shellcheck disable=SC2086
  [ -z "$server" ] || kill -CONT $server 2>/dev/null
}
va_at_exit resume
ok 'both agents speak' va_wait_until 30 both_under_way agent 'From Monday'
gateway=$(gateway_pids)
server="$VA_PID $(pgrep -P "$VA_PID" | tr '\n' ' ')"
turns=$(row "SELECT sum(conversation_turns) FROM calls")
# shellcheck disable=SC2086
kill -STOP $server
said=$(cat "$LAB_DIR"/errand*.jsonl | grep -c '"event":"\(said\|heard\)"')
ok 'the server does not answer' eval '! PGCONNECT_TIMEOUT=2 timeout 1 "$VA_BIN/psql" -X -h "$VA_SOCKET" -p "$VA_PORT" -U "$VA_USER" -c "SELECT 1" postgres'
sleep 4
more=$(($(cat "$LAB_DIR"/errand*.jsonl | grep -c '"event":"\(said\|heard\)"') - said))
resume
ok "the conversation went on meanwhile ($more sentences ended)" [ $more -ge 2 ]
ok 'what was said in the meantime is stored' va_wait_for "SELECT sum(conversation_turns) >= $turns + 2 FROM calls" 10
for name in errand errand-rt; do
  call_end $name
  is "$name ends as expected" $? 0
  ok "$name is over in the database" call_over_in_database $name
done
ledgers_load
for name in errand errand-rt; do
  gap=$(row "SELECT result ->> 'longest_gap_ms' FROM test.results WHERE scenario = '$name'")
  echo "# $name: longest gap $gap ms"
  ok "$name: the caller heard no gap longer than 40 ms" [ "$gap" -le 40 ]
  is "$name: the transcript is what was said" "$(row "SELECT * FROM test.transcript_problems('$name')")" ''
  is "$name: the counts are right" "$(row "SELECT * FROM test.count_problems('$name')")" ''
  is "$name: the events are without a hole" "$(row "SELECT count(*) FROM (SELECT e.seq - lag(e.seq) OVER (PARTITION BY e.source ORDER BY e.seq) AS step, e.at < lag(e.at) OVER (PARTITION BY e.source ORDER BY e.seq) AS back
    FROM call_events e JOIN calls c ON c.id = e.call_id WHERE c.twilio_call_sid = '$(call_sid $name)') s WHERE back")" 0
done
is 'the gateway is the same process' "$(gateway_pids)" "$gateway"
is 'no event was lost' "$(number_of events_lost)" 0
done_testing
