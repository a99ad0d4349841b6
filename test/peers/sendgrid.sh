#!/bin/bash
# sendgrid.sh: SendGrid's own library, npm's @sendgrid/eventwebhook, agrees about signatures: it takes
# what our stand-in signs; what it takes, the gateway takes; what it refuses, the gateway refuses.
#
# Skipped, loudly, where node or the package cannot be had.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
peer_npm sendgrid
peer()
{
  node "$VA_ROOT/test/peers/helpers/sendgrid_events.js" "$@"
}

outbox_start voiceagent.gateway_workers=1 voiceagent.allow_private_urls=on || exit 1
wait_gateway()
{
  curl -sSf -o /dev/null "http://127.0.0.1:$VA_HTTP_PORT/health"
}
pair=$(peer make)
private=$(sed 's/.*"private":"\([^"]*\)".*/\1/' <<<"$pair")
tenant=$(va_psql -c "SELECT va_tenant_create('Acme', 'x', '+15551230002', settings => jsonb_build_object('email', jsonb_build_object('event_key', '$(sed 's/.*"public":"\([^"]*\)".*/\1/' <<<"$pair")')))")
va_wait_until 20 wait_gateway

# ---- what the stand-in signs
key=$(curl -sS "$PROVIDERS_URL/sendgrid/sandbox/key" | sed 's/.*"public_key":"\([^"]*\)".*/\1/')
peer receive "$key" >"$VA_DIR/received" 2>&1 &
receiver=$!
va_wait_until 10 grep -q '^[0-9]' "$VA_DIR/received"
curl -sSf -o /dev/null --data-binary "{\"url\": \"http://127.0.0.1:$(head -n 1 "$VA_DIR/received")/\", \"events\": [{\"event\": \"open\"}, {\"event\": \"click\"}]}" "$PROVIDERS_URL/sendgrid/sandbox/events"
wait $receiver
is 'the library takes what the stand-in signs; not without its last line end, altered, or at another time' "$(tail -n 1 "$VA_DIR/received")" 'true false false false'

# ---- what the gateway takes
hook="http://127.0.0.1:$VA_HTTP_PORT/webhook/email/events?tenant=$tenant"
taken()
{
  [ "$(peer send "$private" "$hook" good)" = 'true true 204' ]
}
ok 'what the library takes the gateway takes' va_wait_until 10 taken
is 'altered, neither does' "$(peer send "$private" "$hook" altered)" 'true false 403'
is 'nor parsed and printed again' "$(peer send "$private" "$hook" resealed)" 'true false 403'
is 'the gateway looks at the clock as well' "$(peer send "$private" "$hook" late)" 'true true 403'
is 'what was taken is stored' "$(va_psql -c "SELECT string_agg(event_id, ' ') FROM email_events")" 'peer-good'
done_testing
