#!/bin/bash
# twilio.sh: the stand-in for Twilio's REST API beside a laboratory of lab.sh, and a tenant that uses it.
#
#   . test/flows/lib.sh; . test/tools/providers.sh; . test/tools/twilio.sh
#   twilio_start [name=value …]        flow_start, the stand-ins, a tenant ($TENANT) with the number $OURS
#   twilio_number NUMBER JSON-MEMBERS  what a number does: '"answers": "busy"' (src/sandbox/twilio_api.h)
#   twilio_hurry NOTIFICATION-OR-CALL  a look for an unknown outcome comes at once, not after ten seconds
#   twilio_made EVENT NUMBER           how many calls (call_created) or messages (message_created) went there

OURS=+15550200001

twilio_start()
{
  flow_start "$@" || return 1
  export VOICEAGENT_SCENARIOS=$LAB_SCENARIOS VOICEAGENT_SPEECH=$LAB_SPEECH
  providers_start || return 1
  va_psql -c "ALTER SYSTEM SET voiceagent.twilio_base_url = '$PROVIDERS_URL/twilio'" -c 'SELECT pg_reload_conf()' >/dev/null
  flow_tenant "$OURS" "${TWILIO_SCENARIO:-house-buyer}" '{"contact_hours": {"open": "00:00", "close": "24:00"},
    "contact_limits": {"call": {"day": null, "week": null}, "sms": {"day": null, "week": null}, "whatsapp": {"day": null, "week": null}},
    "dial": {"calls_per_second": 100}, "twilio_listing_seconds": 0}'
  TENANT=$(row "SELECT tenant_id FROM phone_numbers WHERE phone_number = '$OURS'")
  va_psql -c "UPDATE outbox_kinds SET timeout_ms = 3000 WHERE kind LIKE 'twilio.%'"
  va_wait_until 10 gateway_knows_account &&
    va_wait_for 'SELECT count(*) > 0 FROM outbox_dispatchers' 20
}

twilio_number()
{
  curl -sSf -o /dev/null -X POST --data-binary "{\"number\": \"$1\", $2}" "$PROVIDERS_URL/twilio/sandbox/numbers"
}

twilio_hurry()
{
  va_wait_for "SELECT count(*) = 1 FROM outbox WHERE attempt_key = '$1' AND state = 'unknown'" 20 &&
    va_psql -c "UPDATE outbox SET run_at = now() WHERE attempt_key = '$1' AND state = 'unknown'"
}

twilio_made()
{
  grep "\"event\":\"$1\"" "$PROVIDERS_LEDGER" | grep -c "\"to\":\"\(whatsapp:\)\?$2\""
}
