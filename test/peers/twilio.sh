#!/bin/bash
# twilio.sh: Twilio's own library, npm's twilio, agrees with both of our sides: what it signs the gateway takes, and
# altered it refuses; what the stand-in signs and answers the library takes; and our TwiML is what it would write.
#
# Skipped, loudly, where node or the package cannot be had.
# shellcheck source=../flows/lib.sh
. "$(dirname "$0")/../flows/lib.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/twilio.sh
. "$(dirname "$0")/../tools/twilio.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
peer_npm twilio
peer()
{
  node "$VA_ROOT/test/peers/helpers/twilio_peer.js" "$@"
}
twilio_start || exit 1
base=http://127.0.0.1:$VA_HTTP_PORT

# ---- what the library signs
params()
{
  printf '{"AccountSid": "%s"%s}' "$LAB_ACCOUNT" "${1:+, $1}"
}
for case in \
  "204 /webhook/voice/status \"CallSid\": \"CA0\", \"CallStatus\": \"ringing\"" \
  "204 /webhook/voice/status?call=00000000-0000-0000-0000-000000000000 \"CallSid\": \"CA0\", \"CallStatus\": \"ringing\", \"CallerName\": \"\"" \
  "200 /webhook/sms/incoming \"MessageSid\": \"SM0000000000000000000000000000000a\", \"From\": \"+15550900001\", \"To\": \"$OURS\", \"Body\": \"Olá & 1+1=2 😀 \"" \
  "204 /webhook/whatsapp/status?message=x \"MessageSid\": \"SM0\", \"MessageStatus\": \"read\""; do
  read -r status path fields <<<"$case"
  is "$path: what the library signs is taken" "$(peer send "$LAB_TOKEN" "$base$path" "$(params "$fields")")" "$status"
  is "$path: altered it is refused" "$(peer send "$LAB_TOKEN" "$base$path" "$(params "$fields")" '{"CallStatus": "busy", "Body": "x", "MessageStatus": "sent"}')" 403
  is "$path: with another parameter too" "$(peer send "$LAB_TOKEN" "$base$path" "$(params "$fields")" '{"Extra": "1"}')" 403
  is "$path: with another token too" "$(peer send 00000000000000000000000000000000 "$base$path" "$(params "$fields")")" 403
done

# ---- what we write
webhook answer CallSid=CA00000000000000000000000000000099 From=+15550900003 "To=$OURS" Direction=inbound CallStatus=ringing >"$LAB_DIR/answer"
document=$(tail -n +2 "$LAB_DIR/answer")
value()
{
  sed -n "s/.*name=\"$1\" value=\"\([^\"]*\)\".*/\1/p" <<<"$document"
}
is 'our TwiML is what the library writes' "$document" "$(peer expected "{
  \"stream\": {\"url\": \"ws://127.0.0.1:$VA_MEDIA_PORT/media-stream\", \"statusCallback\": \"$base/webhook/voice/stream-status\"},
  \"parameters\": [{\"name\": \"token\", \"value\": \"$(value token)\"}, {\"name\": \"tenant_id\", \"value\": \"$(value tenant_id)\"}],
  \"redirect\": \"$base/webhook/voice/after-stream#rc=5&rp=ct,rt,5xx\"}")"

# ---- what the stand-in does
is 'the library works with the stand-in' "$(peer rest "$PROVIDERS_URL/twilio" "$LAB_ACCOUNT" "$LAB_TOKEN")" \
  'SM queued CA queued outbound-api 1 true true 400 21211'
peer receive "$LAB_TOKEN" >"$VA_DIR/received" 2>&1 &
receiver=$!
va_wait_until 10 grep -q '^[0-9]' "$VA_DIR/received"
curl -sSf -o /dev/null -u "$LAB_ACCOUNT:$LAB_TOKEN" --data-urlencode To=+15550900004 --data-urlencode "From=$OURS" -d Body=x \
  --data-urlencode "StatusCallback=http://127.0.0.1:$(head -n 1 "$VA_DIR/received")/x?message=1" "$PROVIDERS_URL/twilio/2010-04-01/Accounts/$LAB_ACCOUNT/Messages.json"
ok 'its callbacks come' va_wait_until 10 eval '[ "$(wc -l <"$VA_DIR/received")" = 3 ]'
kill $receiver
is 'the library takes them, and not altered' "$(tail -n +2 "$VA_DIR/received")" $'true false\ntrue false'
done_testing
