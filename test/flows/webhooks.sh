#!/bin/bash
# webhooks.sh: what the gateway answers to requests as Twilio posts them, and to those that Twilio
# never would: the right status, no row damaged, one rejection counted.
. "$(dirname "$0")/lib.sh"

flow_start voiceagent.gateway_workers=1 || exit 1
NUMBER=+15551232001
flow_tenant $NUMBER short
flow_tenant +15551232002 short
OTHER_ACCOUNT=AC00000000000000000000000000000002
OTHER_TOKEN=ffffffffffffffffffffffffffffffff
row "UPDATE tenants t SET settings = settings || '{\"twilio_account_sid\": \"$OTHER_ACCOUNT\"}' FROM phone_numbers p
  WHERE p.tenant_id = t.id AND p.phone_number = '+15551232002'"
row "SELECT va_secret_set(p.tenant_id, 'twilio_auth_token', '$OTHER_TOKEN') FROM phone_numbers p WHERE p.phone_number = '+15551232002'"
other_account_known()
{
  [ "$(ACCOUNT=$OTHER_ACCOUNT TOKEN=$OTHER_TOKEN webhook_status status CallSid=CA0 CallStatus=ringing)" = 204 ]
}
ok 'the gateway learns both accounts' va_wait_until 10 eval 'gateway_knows_account && other_account_known'
BASE=http://127.0.0.1:$VA_HTTP_PORT

# answer SID [TO]: the webhook of a new call.
answer()
{
  webhook answer "CallSid=$1" From=+15550100011 "To=${2:-$NUMBER}" CallStatus=ringing Direction=inbound \
    'CallerName=O'\''Neil & Söhne + Co' ApiVersion=2010-04-01 FromCity= "StirVerstat=TN-Validation-Passed-A"
}

# A digest of every table of the extension but the programs' own reports.
TABLES=$(row "SELECT string_agg(format('SELECT %L || md5(coalesce(string_agg(r::text, chr(10) ORDER BY r::text), '''')) FROM %s r', c.relname, c.oid::regclass), ' UNION ALL ')
  FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
  WHERE c.relkind = 'r' AND c.relname NOT IN ('gateway_status', 'gateway_counters', 'outbox_dispatchers')")
digest()
{
  row "$TABLES" | md5sum
}

# ---- a call is answered --------------------------------------------------------------------------

reply=$(answer CA01)
is 'a valid answer webhook is answered with 200' "$(head -n 1 <<<"$reply")" 200
twiml=$(tail -n +2 <<<"$reply")
matches 'with an XML declaration' "$twiml" '^<\?xml version="1.0" encoding="UTF-8"\?>'
matches 'with a stream' "$twiml" "<Response><Connect><Stream [^>]*url=\"ws://127.0.0.1:($VA_HTTP_PORT|$VA_MEDIA_PORT)/media-stream\""
matches 'whose events are reported' "$twiml" 'statusCallback="[^"]*/webhook/voice/stream-status"'
matches 'with a token of at least 128 bits' "$twiml" '<Parameter name="token" value="[A-Za-z0-9_-]{22,}"/>'
matches 'and what follows it' "$twiml" '</Connect><Redirect method="POST">[^<]*/webhook/voice/after-stream#rc=5&amp;rp=ct,rt,5xx</Redirect></Response>$'
if command -v xmllint >/dev/null; then
  ok 'it is well-formed' xmllint --noout - <<<"$twiml"
else
  skip 'it is well-formed' 'no xmllint'
fi
is 'the call is a row' "$(row "SELECT status, direction, from_number, to_number FROM calls WHERE twilio_call_sid = 'CA01'")" \
  "in-progress|inbound|+15550100011|$NUMBER"

# told SID EVENT: how often this event of the call was told.
told()
{
  row "SELECT count(*) FROM analytics_events e JOIN calls c ON c.id = e.call_id WHERE twilio_call_sid = '$1' AND e.event_type = '$2'"
}

# ---- the same again ------------------------------------------------------------------------------

is 'the same answer again is answered' "$(IDEMPOTENCY=i-1 answer CA02 | head -n 1)" 200
is 'with the same idempotency token too' "$(IDEMPOTENCY=i-1 answer CA02 | head -n 1)" 200
is 'and with another one' "$(IDEMPOTENCY=i-2 answer CA02 | head -n 1)" 200
is 'it stays one call' "$(row "SELECT count(*) FROM calls WHERE twilio_call_sid = 'CA02'")" 1
is 'which was answered once' "$(told CA02 call_answered)" 1

# ---- status callbacks in any order ---------------------------------------------------------------

status()
{
  webhook_status status "CallSid=$1" "CallStatus=$2" "SequenceNumber=$3" Direction=inbound From=+15550100011 "To=$NUMBER" \
    ${4:+"CallDuration=$4"}
}
call_status()
{
  row "SELECT status, duration_seconds FROM calls WHERE twilio_call_sid = '$1'"
}
is 'completed may come first' "$(status CA02 completed 2 17)" 204
is 'it ends the call' "$(call_status CA02)" 'completed|17'
is 'a late ringing is taken' "$(status CA02 ringing 0)" 204
is 'a late in-progress is taken' "$(status CA02 in-progress 1)" 204
is 'completed may come again' "$(status CA02 completed 2 17)" 204
is 'none of them changes the end' "$(call_status CA02)" 'completed|17'
is 'the end is told once' "$(told CA02 call_ended)" 1
is 'a status of a call that nobody knows is taken' "$(status CA99 completed 1)" 204
is 'and makes no row' "$(row "SELECT count(*) FROM calls WHERE twilio_call_sid = 'CA99'")" 0
is 'an answer webhook after the end does not revive the call' "$(answer CA02 | grep -c '<Hangup/>')" 1

# ---- tokens are rotated --------------------------------------------------------------------------

NEW_TOKEN=00000000000000000000000000000abc
tenant=$(row "SELECT tenant_id FROM phone_numbers WHERE phone_number = '$NUMBER'")
accepts()
{
  [ "$(TOKEN=$1 webhook_status status CallSid=CA01 CallStatus=in-progress SequenceNumber=1)" = 204 ]
}
refuses()
{
  [ "$(TOKEN=$1 webhook_status status CallSid=CA01 CallStatus=in-progress SequenceNumber=1)" = 403 ]
}
ok 'a token that is not announced is refused' refuses $NEW_TOKEN
row "SELECT va_secret_set('$tenant', 'twilio_auth_token_next', '$NEW_TOKEN')"
ok 'the new token is accepted once it is set' va_wait_until 10 accepts $NEW_TOKEN
ok 'and the old one still' accepts $LAB_TOKEN
row "SELECT va_secret_set('$tenant', 'twilio_auth_token', '$NEW_TOKEN')"
row "SELECT va_secret_clear('$tenant', 'twilio_auth_token_next')" >/dev/null
ok 'after the rotation the old one is refused' va_wait_until 10 refuses $LAB_TOKEN
ok 'and the new one accepted' accepts $NEW_TOKEN
row "SELECT va_secret_set('$tenant', 'twilio_auth_token', '$LAB_TOKEN')"
ok 'back to the first one' va_wait_until 10 accepts $LAB_TOKEN

# ---- requests that are turned away ---------------------------------------------------------------

# turned_away STATUS COUNTER WHAT COMMAND…
turned_away()
{
  local status=$1 counter=$2 what=$3 rows
  shift 3
  rows=$(digest)
  is "$what: $status" "$("$@" | head -n 1)" "$status"
  tally[$counter]=$((tally[$counter] + 1))
  is "$what: no row is touched" "$(digest)" "$rows"
}
counting_begins
SIGNATURE=$(printf 'wrong' | openssl dgst -sha1 -hmac x -binary | base64) turned_away 403 bad_signature 'a wrong signature' answer CA10
SIGNATURE=none turned_away 403 bad_signature 'no signature' answer CA11
SIGNATURE='@@@@' turned_away 403 bad_signature 'a signature that is no base64' answer CA12
ACCOUNT=AC0000000000000000000000000000dead turned_away 403 bad_signature 'an unknown account' answer CA13
ACCOUNT=$OTHER_ACCOUNT TOKEN=$OTHER_TOKEN turned_away 403 wrong_account "another account's token for this number" answer CA14
ACCOUNT=$OTHER_ACCOUNT TOKEN=$OTHER_TOKEN turned_away 403 wrong_account "another account's token for this call" status CA01 completed 9
SIGNED_URL=http://127.0.0.1:1/webhook/voice/answer turned_away 403 bad_signature 'a signature for another port' answer CA15
SIGNED_URL=http://evil.example/webhook/voice/answer turned_away 403 bad_signature 'a signature for another host' answer CA16
CURL_OPTIONS=(-H 'Host: evil.example')
SIGNED_URL=http://evil.example/webhook/voice/answer turned_away 403 bad_signature 'a Host header that agrees with it' answer CA17
CURL_OPTIONS=()
turned_away 200 unknown_number 'a number that nobody has' answer CA18 +15559999999
tally[unknown_number]=$((tally[unknown_number] + 1))
matches 'the caller is rejected' "$(answer CA18 +15559999999)" '<Response><Reject( reason="rejected")?/></Response>'
row "UPDATE tenants SET status = 'suspended' WHERE id = '$tenant'"
turned_away 200 inactive_tenant 'an inactive tenant' answer CA19
tally[inactive_tenant]=$((tally[inactive_tenant] + 1))
matches 'its caller is rejected' "$(answer CA19)" '<Reject'
row "UPDATE tenants SET status = 'active' WHERE id = '$tenant'"
turned_away 405 method 'a GET' plain "$BASE/webhook/voice/answer"
tally[method]=$((tally[method] + 1))
matches 'with Allow: POST' "$(curl -sS -i --max-time 20 "$BASE/webhook/voice/answer" | tr -d '\r' | grep -i '^allow:')" '^[Aa]llow: POST$'
turned_away 405 method 'a PUT' plain -X PUT -d a=b "$BASE/webhook/voice/answer"
turned_away 404 not_found 'an unknown path' plain "$BASE/nowhere"
turned_away 404 not_found 'a path beside ours' plain -d a=b "$BASE/webhook/voice/answer/../../etc"
head -c 3000000 /dev/zero | tr '\0' a >"$LAB_DIR/big"
turned_away 413 too_large 'a body of 3 MB' plain -H 'Content-Type: application/x-www-form-urlencoded' \
  -H 'Expect:' --data-binary "@$LAB_DIR/big" "$BASE/webhook/voice/answer"
turned_away 400 malformed 'a malformed form' plain -H 'Content-Type: application/x-www-form-urlencoded' \
  --data-binary 'CallSid=%zz&AccountSid=%e' "$BASE/webhook/voice/answer"
turned_away 415 malformed 'another content type' plain -H 'Content-Type: text/xml' --data-binary '<a/>' "$BASE/webhook/voice/answer"
turned_away 400 malformed 'no CallSid' webhook answer From=+15550100011 "To=$NUMBER"

counting_ends
is 'each of them is counted once, by its kind' "$counted" "$wanted"

# ---- addresses -----------------------------------------------------------------------------------

rows=$(digest)
is 'health is 200' "$(plain "$BASE/health")" 200
matches 'health says ok' "$(curl -sS "$BASE/health")" '"status": ?"ok"'
is 'health is on the media port too' "$(plain "http://127.0.0.1:$VA_MEDIA_PORT/health")" 200
is 'webhooks are not on the media port' "$(plain -d a=b "http://127.0.0.1:$VA_MEDIA_PORT/webhook/voice/answer")" 404
is 'health touches no row' "$(digest)" "$rows"

# With a public URL its host counts, whatever the port of it; the form of a TLS URL is signed with
# or without its port.
row "ALTER SYSTEM SET voiceagent.public_url = 'https://voice.example.com:8443/v1'"
row 'SELECT pg_reload_conf()' >/dev/null
signed_for()
{
  [ "$(SIGNED_URL=$1 webhook_status status CallSid=CA01 CallStatus=in-progress SequenceNumber=1)" = 204 ]
}
ok 'a public URL with a port' va_wait_until 10 signed_for https://voice.example.com:8443/v1/webhook/voice/status
ok 'signed without the port' signed_for https://voice.example.com/v1/webhook/voice/status
ok 'the local URL counts no longer' eval "! signed_for $BASE/webhook/voice/status"
matches 'the stream is at the public URL' "$(SIGNED_URL=https://voice.example.com:8443/v1/webhook/voice/answer answer CA03)" \
  'url="wss://voice.example.com:8443/v1/media-stream"'
row "ALTER SYSTEM SET voiceagent.public_url = 'https://voice.example.com'"
row 'SELECT pg_reload_conf()' >/dev/null
ok 'a public URL without a port' va_wait_until 10 signed_for https://voice.example.com/webhook/voice/status
ok 'signed with the default port' signed_for https://voice.example.com:443/webhook/voice/status
done_testing
