#!/bin/bash
# s3.sh: storage with a real S3 server, npm's @20minutes/s3rver, which verifies signatures: put, read by a signed link,
# delete, and what it says to a wrong key.
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
mkdir "$VA_DIR/s3"
node "$VA_ROOT/test/peers/helpers/s3_server.js" "$VA_DIR/s3" >"$VA_DIR/s3.log" 2>&1 &
va_at_exit "kill $! 2>/dev/null"
va_wait_until 20 grep -q '^[0-9]' "$VA_DIR/s3.log" || peer_skip "the server does not start: $(cat "$VA_DIR/s3.log")"
port=$(grep -m 1 '^[0-9]' "$VA_DIR/s3.log")
va_psql -c "ALTER SYSTEM SET voiceagent.twilio_base_url = '$PROVIDERS_URL/media'" -c 'SELECT pg_reload_conf()' >/dev/null
tenant=$(va_psql -c "SELECT va_tenant_create('Shop', 'general', '+15551230002', twilio_account_sid => 'AC00000000000000000000000000000001')")
va_psql -c "SELECT va_tenant_settings_set('$tenant', '{\"storage\": {\"endpoint\": \"http://127.0.0.1:$port\", \"bucket\": \"demo\", \"prefix\": \"calls/a=b_c-d/\", \"region\": \"eu-central-1\"}}')" \
  -c "SELECT va_secret_set('$tenant', n, v) FROM (VALUES ('twilio_auth_token', '0123456789abcdef0123456789abcdef'), ('s3_access_key', 'S3RVER'), ('s3_secret_key', 'S3RVER')) AS x (n, v)" >/dev/null

settled()
{
  va_wait_for "SELECT status <> 'pending' FROM stored_files WHERE id = '$1'" 30
}
state()
{
  va_psql -c "SELECT status || coalesce(' ' || bytes, '') || coalesce(' ' || error_message, '') FROM stored_files WHERE id = '$1'"
}
read_back()
{
  curl -sS -o "$VA_DIR/body" -D "$VA_DIR/head" -w '%{http_code}\n' "$@"
}

sid=RE00000000000000000000000000300000 # three megabytes
va_psql -c "INSERT INTO calls (tenant_id, direction, from_number, to_number, twilio_call_sid) VALUES ('$tenant', 'inbound', '+15551230001', '+15551230002', 'CA1')" \
  -c "UPDATE calls SET recording_sid = '$sid', recording_url = 'https://api.twilio.com/x'"
id=$(va_psql -c 'SELECT id FROM stored_files')
settled "$id"
is 'a recording goes from Twilio to S3' "$(state "$id")" 'stored 3145728'
link=$(va_psql -c "SELECT va_file_link('$id', '5 minutes')")
is 'a link reads it' "$(read_back "$link")" 200
is 'as it was sent' "$(sha256sum <"$VA_DIR/body")" "$(va_psql -c "SELECT sha256 FROM stored_files WHERE id = '$id'")  -"
matches 'with its type' "$(cat "$VA_DIR/head")" '[Cc]ontent-[Tt]ype: audio/wav'
is 'a part of it' "$(read_back -H 'Range: bytes=0-99' "$link") $(stat -c %s "$VA_DIR/body")" '206 100'
is 'an altered link does not' "$(read_back "${link/Expires=300/Expires=301}")" 403
is 'nor one for writing' "$(read_back -X PUT --data x "$link")" 403
document=$(va_psql -c "SELECT va_file_put('$tenant', 'empty', '')")
settled "$document"
is 'an empty document' "$(state "$document") $(read_back "$(va_psql -c "SELECT va_file_link('$document')")")" 'stored 0 200'
va_psql -c "DELETE FROM stored_files WHERE id = '$id'"
va_wait_for "SELECT count(*) = 1 FROM outbox_history WHERE kind = 'storage.delete'" 20
is 'deleted, it is gone' "$(read_back "$link")" 404

# attempt WHAT NAME VALUE PATTERN: with another secret or setting it fails, and says why.
attempt()
{
  local id
  id=$(va_psql -c "SELECT va_file_put('$tenant', 'x', 'x')")
  settled "$id"
  matches "$1" "$(state "$id")" "$2"
}
va_psql -c "SELECT va_secret_set('$tenant', 's3_secret_key', 'wrong')" >/dev/null
attempt 'a wrong secret' 'failed .*signature.*Set the secret s3_secret_key anew'
va_psql -c "SELECT va_secret_set('$tenant', 's3_access_key', 'WRONG')" >/dev/null
attempt 'a wrong key' 'failed .*Set the secret s3_access_key anew'
va_psql -c "SELECT va_secret_set('$tenant', n, 'S3RVER') FROM unnest(ARRAY['s3_access_key', 's3_secret_key']) n" \
  -c "SELECT va_tenant_settings_set('$tenant', '{\"storage\": {\"bucket\": \"other\"}}')" >/dev/null
attempt 'a bucket that there is not' 'failed .*Make the bucket'
done_testing
