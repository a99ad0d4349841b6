#!/bin/bash
# twilio_messages.sh: SMS and WhatsApp over the launcher, the dispatcher, the gateway and the stand-in: what
# arrives, every kind of failure and what the user sees of it, news in disorder, and what people write.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"
# shellcheck source=../tools/twilio.sh
. "$(dirname "$0")/../tools/twilio.sh"

twilio_start || exit 1
va_psql -c "INSERT INTO phone_numbers (tenant_id, phone_number, phone_type) VALUES ('$TENANT', '+15550200002', 'whatsapp')"

# message CHANNEL TO BODY [MORE COLUMNS, MORE VALUES]: an outbound message, queued; sets $message
message()
{
  message=$(row "INSERT INTO notifications (tenant_id, channel, direction, status, to_address, body${4:+, $4})
    VALUES ('$TENANT', '$1', 'outbound', 'pending', '$2', '$3'${5:+, $5}) RETURNING id")
  row "SELECT va_message_queue('$message')" >/dev/null
}
seen()
{
  row "SELECT concat_ws(' | ', status, error_code, error_message, error_hint) FROM notifications WHERE id = '${1:-$message}'"
}
becomes()
{
  va_wait_for "SELECT status = '$1' FROM notifications WHERE id = '$message'" "${2:-15}"
}

# ---- all is well
message sms +15550300001 'Hello & good-bye: +1 = 100 %, ñ 😀'
ok 'an SMS is delivered' becomes delivered
is 'once' "$(twilio_made message_created +15550300001)" 1
is 'with this text' "$(sed -n 's/.*"to":"+15550300001".*"body":"\([^"]*\)".*/\1/p' "$PROVIDERS_LEDGER")" 'Hello & good-bye: +1 = 100 %, ñ 😀'
is 'its times are known' "$(row "SELECT sent_at IS NOT NULL AND delivered_at IS NOT NULL AND external_id LIKE 'SM%' FROM notifications WHERE id = '$message'")" t
is 'its effect is done' "$(outbox_where "$message")" 'done 1'
twilio_number +15550300002 '"delivers": "read"'
message whatsapp +15550300002 Hi 'template_id, template_data' "'HX00000000000000000000000000000001', '{\"1\": \"Ana\"}'"
ok 'a WhatsApp message is read' becomes read
is 'it went as a template' "$(grep -c '"to":"whatsapp:+15550300002".*"body":"","content_sid":"HX00000000000000000000000000000001"' "$PROVIDERS_LEDGER")" 1

# ---- news in disorder, and twice
for number in 3 4 5; do
  provider_fault '{"prefix": "/twilio", "method": "POST", "path": "/Messages.json", "flags": ["duplicate_callbacks", "reorder_callbacks"], "times": 1}' ||
    exit 1
  twilio_number "+1555030000$number" '"delivers": "read"'
  message sms "+1555030000$number" disorder
  ok "news in disorder and twice: read ($number)" becomes read
done
provider_faults_clear
ok 'all callbacks came' va_wait_until 10 eval '[ "$(grep -c "\"event\":\"callback\"" "$PROVIDERS_LEDGER")" -ge 20 ]'
is 'and set nothing back' "$(row "SELECT count(*) FROM notifications WHERE body = 'disorder' AND status = 'read'")" 3

# ---- what Twilio refuses: number, what the user sees
refused()
{
  message "${3:-sms}" "$1" x
  ok "$1: failed" becomes failed
  matches "$1: what the user sees" "$(seen)" "$2"
  is "$1: nothing was sent" "$(twilio_made message_created "$1")" 0
  matches "$1: its story" "$(outbox_story "$message")" 'dead letter'
}
refused +15005550001 '^failed \| 21211 \| the number is not valid .* \| Correct the lead.s number'
refused +15005550002 '^failed \| 21612 \| no route from the sending number to this number'
refused +15005550003 '^failed \| 21408 \| messages to this country are not allowed .*Geo permissions'
refused +15005550004 '^failed \| 21610 \| the person has opted out'
refused +15005550009 '^failed \| 21614 \| the number is not a mobile number'
is '21610 is an opt-out' "$(row "SELECT channel, how FROM do_not_contact WHERE address = '+15005550004'")" 'sms|Twilio 21610'
message sms +15005550004 again
ok 'who has opted out is not asked again' becomes failed
matches 'and the user is told why' "$(seen)" 'may_not_contact \| this address may not be written to: on the do-not-contact list'
message whatsapp +15550300007 'free text'
ok 'free text outside of the 24 hours fails' becomes failed
matches 'with the way out' "$(seen)" '63016 .*whatsapp_templates'

# ---- what goes wrong later
for pair in 30003:'switched off' 30005:'nobody has' 30006:'landline' 30007:'filtered' 30008:'says not why' 30034:'registered'; do
  number=+155503010${pair:3:2}
  twilio_number "$number" "\"delivers\": \"undelivered\", \"code\": ${pair%%:*}"
  message sms "$number" x
  ok "${pair%%:*}: undelivered" becomes undelivered
  matches "${pair%%:*}: in plain words, with advice" "$(seen)" "^undelivered \| ${pair%%:*} \| .*${pair#*:}.* \| .+"
done

# ---- the catalogue of failures
CATALOGUE_FAULT='"prefix": "/twilio", "method": "POST", "path": "/Messages.json"'
counter=100
catalogue_begin()
{
  counter=$((counter + 1))
  number=+1555031$counter
  message sms "$number" "$1"
  key=$message
}
# look: without a callback, Twilio's list is read.
catalogue_wait()
{
  [ "$1" != look ] || twilio_hurry "$message"
  va_wait_for "SELECT status IN ('delivered', 'failed') FROM notifications WHERE id = '$message'" 20
  outbox_over "$message" 20
}
catalogue_happened()
{
  twilio_made message_created "$number"
}
catalogue_seen()
{
  seen
}
twilio_says()
{
  printf '"body": "{\\"code\\": %s, \\"message\\": \\"Words of Twilio\\", \\"status\\": %s}"' "$2" "$1"
}
catalogue bad-request "$(twilio_says 400 21602)" 'dead: failed 1' 0 '^failed \| 21602 \| the message has no text \(Words of Twilio\)' 'HTTP 400'
catalogue unauthorized "$(twilio_says 401 20003)" 'dead: failed 1' 0 '^failed \| 20003 .*credentials.*twilio_auth_token' 'HTTP 401'
catalogue forbidden '' 'dead: failed 1' 0 '^failed \| forbidden .*something else than its own words.*rights' 'HTTP 403'
catalogue not-found "$(twilio_says 404 20404)" 'dead: failed 1' 0 '^failed \| 20404 ' 'HTTP 404'
catalogue conflict '' 'dead: failed 1' 0 '^failed \| conflict' 'HTTP 409'
catalogue limited "$(twilio_says 429 20429)" 'done 2' 1 '^delivered$' 'did not happen: too many requests at once \(Words of Twilio\) \(HTTP 429\)'
catalogue limited-politely "$(twilio_says 429 20429)" 'done 2' 1 '^delivered$' 'did not happen: too many requests at once'
catalogue error '' 'done 2' 1 '^delivered$' 'looked for the outcome \| the service has no trace of it' look
catalogue error-after '' 'done 1' 1 '^delivered$' 'nobody knows whether it happened'
catalogue unavailable '' 'done 2' 1 '^delivered$' 'nobody knows whether it happened' look
catalogue slow '' 'done 1' 1 '^delivered$' 'done'
catalogue cut-before '' 'done 2' 1 '^delivered$' 'closed without an answer' look
catalogue cut-after '' 'done 1' 1 '^delivered$' 'done'
catalogue cut-in-body '' 'done 1' 1 '^delivered$' 'done'
catalogue garbage '' 'done 1' 1 '^delivered$' 'done'
catalogue redirect '' 'dead: failed 1' 0 '^failed \| .*redirect' 'HTTP 307'
catalogue_whole 'Twilio, messages'

# The callbacks tell nothing: the list does.
number=+15550320001
twilio_number "$number" '"delivers": "nothing"'
provider_fault '{"prefix": "/twilio", "method": "POST", "path": "/Messages.json", "times": 1, "cut": "after"}'
message sms "$number" 'silent success'
twilio_hurry "$message"
ok 'without a callback the list tells that it was sent' va_wait_for "SELECT external_id LIKE 'SM%' AND status = 'sending' FROM notifications WHERE id = '$message'" 20
is 'and was sent once' "$(twilio_made message_created "$number") $(outbox_where "$message")" '1 done 1'
# A list may lag behind.
va_psql -c "UPDATE tenants SET settings = settings || '{\"twilio_listing_seconds\": 3600}' WHERE id = '$TENANT'"
provider_fault '{"prefix": "/twilio", "method": "POST", "path": "/Messages.json", "times": 1, "status": 500}'
message sms +15550320002 'not there yet'
twilio_hurry "$message"
ok 'what is not in the list yet may still come' va_wait_for "SELECT last_error ->> 'code' = 'not_listed_yet' AND state = 'unknown' FROM outbox WHERE attempt_key = '$message'" 10
matches 'and the user is told so' "$(seen)" '^sending \| unknown \| it is not certain whether Twilio has taken the message'
is 'nothing was repeated' "$(twilio_made message_created +15550320002)" 0
provider_faults_clear

# ---- what people write
incoming()
{
  WEBHOOK_PATH=/webhook/$1/incoming message_webhook "MessageSid=$2" "From=$3" "To=$4" "Body=$5" NumMedia=0
}
message_webhook()
{
  local body= pair url=http://127.0.0.1:$VA_HTTP_PORT$WEBHOOK_PATH
  set -- "AccountSid=$LAB_ACCOUNT" "$@"
  for pair in "$@"; do
    body+="${body:+&}$(url_encode "${pair%%=*}")=$(url_encode "${pair#*=}")"
  done
  curl -sS --max-time 20 -w ' %{http_code}' -H "X-Twilio-Signature: $(twilio_signature "${TOKEN:-$LAB_TOKEN}" "$url" "$@")" \
    -H 'Content-Type: application/x-www-form-urlencoded' --data-binary "$body" "$url"
}
is 'a message comes in' "$(incoming whatsapp SM0000000000000000000000000000000a whatsapp:+15550330001 whatsapp:+15550200002 'Hola, ¿qué tal?')" \
  '<?xml version="1.0" encoding="UTF-8"?><Response/> 200'
incoming whatsapp SM0000000000000000000000000000000a whatsapp:+15550330001 whatsapp:+15550200002 'Hola, ¿qué tal?' >/dev/null
is 'it is one row' "$(row "SELECT channel, from_address, body, status FROM notifications WHERE direction = 'inbound'")" 'whatsapp|+15550330001|Hola, ¿qué tal?|received'
is 'of a lead' "$(row "SELECT source FROM leads WHERE phone = '+15550330001'")" whatsapp
is 'with a wrong signature it does not' "$(TOKEN=wrong incoming sms SM0000000000000000000000000000000b +15550330002 "$OURS" x)" $'wrong signature\n 403'
message whatsapp +15550330001 'free text'
ok 'within 24 hours free text is delivered' becomes delivered
is 'nothing secret is in the log' "$(grep -c -e "$LAB_TOKEN" -e PANIC "$VA_LOG")" 0
done_testing
