#!/bin/bash
# transcript.sh: what the database says was said is what was said: every scenario that ships,
# through both engines, all at once.
. "$(dirname "$0")/lib.sh"

flow_start || exit 1
scenarios='house-buyer impatient keys silent hangup'
n=1000
for scenario in $scenarios; do
  for name in "$scenario" "$scenario-rt"; do
    n=$((n + 1))
    flow_tenant "+1555123$n" "$name" '{"inactivity_seconds": 10}' || exit 1
  done
done
ok 'the gateway learns the account' va_wait_until 10 gateway_knows_account
n=1000
for scenario in $scenarios; do
  for name in "$scenario" "$scenario-rt"; do
    n=$((n + 1))
    call_begin "$name" "+1555123$n" "$name"
  done
done

for scenario in $scenarios; do
  for name in "$scenario" "$scenario-rt"; do
    call_end "$name"
    is "$name ends as expected" $? 0
    ok "$name is over in the database" call_over_in_database "$name"
  done
done
ledgers_load

# ended WHY SCENARIO: the reason on record.
ended()
{
  is "$2 ended by $1" "$(row "SELECT string_agg(t.end_reason, ',') FROM call_timings t JOIN test.results r
    ON r.call_sid = t.twilio_call_sid WHERE r.scenario = '$2'")" "$1"
}

declare -A why=([house-buyer]=agent_hangup [impatient]=agent_hangup [keys]=agent_hangup [silent]=inactivity
  [hangup]=caller_hangup)
for scenario in $scenarios; do
  for name in "$scenario" "$scenario-rt"; do
    is "$name: the transcript is what was said" "$(row "SELECT * FROM test.transcript_problems('$name')")" ''
    is "$name: the counts are right" "$(row "SELECT * FROM test.count_problems('$name')")" ''
    ended "${why[$scenario]}" "$name"
  done
done
for name in impatient impatient-rt; do
  is "$name: three sentences of the agent were cut" \
    "$(row "SELECT count(*) FROM test.stored WHERE scenario = '$name' AND role = 'agent' AND interrupted")" 3
done
for name in keys keys-rt; do
  is "$name: the keys are turns" "$(row "SELECT string_agg(replace(text, ' ', ''), ' ' ORDER BY n_turn) FROM test.stored
    WHERE scenario = '$name' AND medium = 'dtmf'")" '1 3 12# 9'
done

lead()
{
  row "SELECT l.first_name, l.last_name, l.phone, l.source, l.qualification_data FROM leads l
    JOIN calls c ON c.lead_id = l.id JOIN test.results r ON r.call_sid = c.twilio_call_sid WHERE r.scenario = '$1'"
}
for name in house-buyer house-buyer-rt; do
  is "$name leaves a lead" "$(lead $name)" 'Maria|Lopez|+15550100001|inbound_call|{"need": "a house with three bedrooms in downtown", "budget": 450000, "bedrooms": 3, "location": "downtown", "timeline": "within two months", "decision_maker": true}'
done
for name in keys keys-rt; do
  is "$name leaves a lead" "$(lead $name)" '||+15550100003|inbound_call|{"need": "a house with three bedrooms", "bedrooms": 3, "district": "12"}'
done
is 'there are no other leads' "$(row 'SELECT count(*) FROM leads')" 4
is 'all calls are over' "$(row 'SELECT count(*) FROM active_calls')" 0
done_testing
