#!/bin/bash
# slow_peer.sh: a telephone that sends and does not read, while the engine talks for minutes and sends
# all of it at once. What does not fit is dropped and counted, memory stays within bounds, and
# the calls beside it do not notice.
. "$(dirname "$0")/calls.sh"
. "$(dirname "$0")/../flows/ws.sh"

# A scenario in which pressing 1 makes the agent talk for minutes: nothing takes so long to say as
# numbers. The kernel alone keeps some megabytes for a peer that does not read.
endless()
{
  local text
  text=$(printf '777777 %.0s' {1..560})
  echo '{"name": "endless", "caller": {"voice": "en-us+m3", "number": "+15550100014"},'
  echo '"agent": {"voice": "en-us+f3",'
  echo '"greeting": "Hello, this is ABC Realty."},'
  echo '"steps": [{"press": "1"}], "rules": [{"keys": "1", "says": "'"${text% }"'"}], "expect": {"ended_by": "any"}}'
}
mkdir -p "$VA_ROOT/build/test-scenarios"
endless >"$VA_ROOT/build/test-scenarios/endless.json"
flow_start || exit 1
lab_engine_restart --burst-ms 600000 || exit 1
# (The engine takes its time to get so much speech ready.)
flow_tenant +15551231001 endless-rt '{"prepare_timeout_ms": 60000}' || exit 1
flow_tenant +15551231002 errand
flow_tenant +15551231003 short-rt
ok 'the gateway learns the account' va_wait_until 10 gateway_knows_account

rss()
{
  awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}
gateway=$(gateway_pids)
before=$(rss "$gateway")
token=$(webhook answer CallSid=CA77 From=+15550100014 To=+15551231001 CallStatus=ringing Direction=inbound |
  sed -n 's/.*name="token" value="\([^"]*\)".*/\1/p')
ws_open "$(ws_signed)"
ws_start CA77 "$token" MZ77
silence=$(printf '/%.0s' {1..213})w==
# Silence, twenty milliseconds at a time, as a telephone that is not listening to us. Never reads.
talk()
{
  local n=1
  while :; do
    n=$((n + 1))
    ws_text "{\"event\":\"media\",\"sequenceNumber\":\"$n\",\"streamSid\":\"MZ77\",\"media\":{\"track\":\"inbound\",\"chunk\":\"$n\",\"timestamp\":\"$((n * 20))\",\"payload\":\"$silence\"}}" || return
    read -r -t 0.017 -u "$never"
  done
}
exec {never}<> <(:)
talk &
talker=$!
va_at_exit "kill $talker 2>/dev/null"
ok 'the stream is accepted' va_wait_for "SELECT count(*) = 1 FROM call_metrics WHERE stream_sid = 'MZ77'" 10
ok 'the agent has begun to speak' va_wait_for "SELECT first_audio_at IS NOT NULL FROM call_metrics WHERE stream_sid = 'MZ77'" 60
call_begin errand +15551231002 errand
call_begin short-rt +15551231003 short-rt
ws_text '{"event":"dtmf","sequenceNumber":"2","streamSid":"MZ77","dtmf":{"track":"inbound_track","digit":"1"}}'
ok 'frames are dropped, and counted' va_wait_until 60 eval '[ "$(number_of frames_dropped_out)" -gt 0 ]'
most=$(rss "$gateway")
for name in errand short-rt; do
  call_end $name
  is "$name, beside it, ends as expected" $? 0
  call_over_in_database $name
  [ "$(rss "$gateway")" -lt "$most" ] || most=$(rss "$gateway")
done
echo "# the gateway had $before kB, and $most kB at most"
ok 'memory stays within bounds' [ $((most - before)) -lt 16384 ]
kill $talker 2>/dev/null
wait $talker 2>/dev/null
ws_drop
ok 'the call of the deaf telephone ends' va_wait_for "SELECT ended_at IS NOT NULL FROM call_metrics WHERE stream_sid = 'MZ77'" 20
ok 'its drops are on record' va_is_true "SELECT frames_dropped_out > 0 FROM call_metrics WHERE stream_sid = 'MZ77'"
ledgers_load
for name in errand short-rt; do
  gap=$(row "SELECT result ->> 'longest_gap_ms' FROM test.results WHERE scenario = '$name'")
  ok "$name: no gap longer than 40 ms ($gap)" [ "$gap" -le 40 ]
  is "$name: the transcript is what was said" "$(row "SELECT * FROM test.transcript_problems('$name')")" ''
  is "$name: the counts are right" "$(row "SELECT * FROM test.count_problems('$name')")" ''
done
is 'the gateway is the same process' "$(gateway_pids)" "$gateway"
done_testing
