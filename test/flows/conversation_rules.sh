#!/bin/bash
# conversation_rules.sh: a caller who asks for the manager is heard by the database and told so by the agent, and a
# conversation that is as long as the tenant allows ends with a good-bye, through both engines; also when the
# model is slow to say it and slower to say that it has.
. "$(dirname "$0")/lib.sh"

flow_start || exit 1
calls='manager manager-rt'
n=1000
for name in $calls; do
  n=$((n + 1))
  flow_tenant "+1555123$n" "$name" '{"callback_message": "A colleague will call you back.", "turn_limit_message": "Goodbye!"}' || exit 1
done
va_psql -c "UPDATE tenant_voice_configs SET escalation_keywords = '{lawyer,manager}', max_conversation_turns = 7"
ok 'the gateway learns the account' va_wait_until 10 gateway_knows_account
n=1000
for name in $calls; do
  n=$((n + 1))
  call_begin "$name" "+1555123$n" "$name"
done
for name in $calls; do
  call_end "$name"
  is "$name ends as expected" $? 0
  ok "$name is over in the database" call_over_in_database "$name"
done
ledgers_load

of_call()
{
  row "SELECT $2 FROM calls c WHERE twilio_call_sid = '$(call_sid "$1")'"
}
# turns NAME TEXT: how many of the agent's turns have this text in them, and were not cut.
turns()
{
  of_call "$1" "(SELECT count(*) FROM jsonb_array_elements(transcript) e WHERE e ->> 'role' = 'agent' AND e ->> 'text' LIKE '%$2%' AND e ->> 'interrupted' = 'false')"
}
check_call()
{
  local name=$1
  is "$name: the keyword has escalated the call" "$(of_call "$name" 'escalated_to_human, escalation_reason')" 't|keyword "manager"'
  is "$name: the caller was told" "$(turns "$name" 'A colleague will call you back.')" 1
  is "$name: a call back is planned" "$(of_call "$name" "(SELECT count(*) FROM follow_up_tasks f WHERE f.call_id = c.id AND f.title = 'Call back')")" 1
  is "$name: the limit of turns ended it" "$(of_call "$name" "end_reason, (SELECT count(*) FROM analytics_events e WHERE e.call_id = c.id AND e.event_type = 'turn_limit')")" 'agent_hangup|1'
  is "$name: with a good-bye that was heard" "$(turns "$name" 'Goodbye!')" 1
  ok "$name: and not long after" test "$(of_call "$name" conversation_turns)" -le 10
}
for name in $calls; do
  check_call "$name"
done

# A model may take its time for the good-bye, and for the end of its text; and what was heard to the end was not cut.
lab_engine_restart --think-ms 1000 --late-text-ms 600
n=1000
for name in $calls; do
  n=$((n + 1))
  call_begin "slow-$name" "+1555123$n" "$name"
done
for name in $calls; do
  call_end "slow-$name"
  is "slow-$name ends as expected" $? 0
  ok "slow-$name is over in the database" call_over_in_database "slow-$name"
done
ledgers_load
for name in $calls; do
  check_call "slow-$name"
done
done_testing
