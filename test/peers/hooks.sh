#!/bin/bash
# hooks.sh: the maker's own library of the Standard Webhooks specification, npm's standardwebhooks, verifies what we post.
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
peer_npm storage

outbox_start voiceagent.allow_private_urls=on || exit 1
secret=whsec_$(head -c 24 /dev/urandom | base64)
node "$VA_ROOT/test/peers/helpers/hook_verifier.js" "$secret" >"$VA_DIR/hooks.log" 2>&1 &
va_at_exit "kill $! 2>/dev/null"
va_wait_until 20 grep -q '^[0-9]' "$VA_DIR/hooks.log" || peer_skip "the library does not start: $(cat "$VA_DIR/hooks.log")"
tenant=$(va_psql -c "SELECT va_tenant_create('Shop', 'general', '+15551230002')")
va_psql -c "SELECT va_secret_set('$tenant', 'hook_secret', '$secret')" \
  -c "INSERT INTO event_hooks (tenant_id, url) VALUES ('$tenant', 'http://127.0.0.1:$(head -n 1 "$VA_DIR/hooks.log")/in')" \
  -c "SELECT va_emit('$tenant', 'first', NULL, NULL, '{\"text\": \"Grüße, 日本 / 😀\"}')" >/dev/null
line=$(va_psql -c "SELECT id FROM analytics_events WHERE event_type = 'first'")
ok 'an event comes' va_wait_until 20 grep -q "^$line" "$VA_DIR/hooks.log"
is 'the library takes it, and not altered or late' "$(grep "^$line" "$VA_DIR/hooks.log")" "$line first true false false"
va_psql -c "SELECT va_secret_set('$tenant', 'hook_secret', 'whsec_$(head -c 24 /dev/urandom | base64)')" -c "SELECT va_emit('$tenant', 'second', NULL, NULL, '{}')" >/dev/null
ok 'signed with another secret it is refused' va_wait_for "SELECT last_error ->> 'http_status' = '401' FROM outbox_dead" 20
is 'by the library' "$(grep second "$VA_DIR/hooks.log" | cut -d ' ' -f 2-)" 'second false false false'
done_testing
