#!/bin/bash
# storage.sh: recordings from Twilio to files and to S3, documents and transcripts, end to end: launcher, dispatcher,
# stand-ins. Every kind of failure and what the user sees of it; a dispatcher that is killed while it writes.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"

outbox_start voiceagent.allow_private_urls=on || exit 1
va_psql -c "ALTER SYSTEM SET voiceagent.twilio_base_url = '$PROVIDERS_URL/media'" -c 'SELECT pg_reload_conf()' \
  -c "UPDATE outbox_kinds SET timeout_ms = 5000 WHERE kind LIKE 'storage.%'" \
  -c "INSERT INTO settings VALUES ('outbox_limits', '{\"storage\": {\"breaker_failures\": 1000}}')" >/dev/null
tenant=$(va_psql -c "SELECT va_tenant_create('Shop', 'general', '+15551230002', twilio_account_sid => 'AC00000000000000000000000000000001')")
va_psql -c "SELECT va_secret_set('$tenant', n, v) FROM (VALUES ('twilio_auth_token', '0123456789abcdef0123456789abcdef'),
  ('s3_access_key', 'SANDBOXKEY'), ('s3_secret_key', 'sandbox/secret+key')) AS x (n, v)" >/dev/null
files=$VA_DATA/voiceagent_files
s3_settings="{\"endpoint\": \"$PROVIDERS_URL\", \"bucket\": \"bucket\", \"region\": \"eu-test-1\"}"

storage_setting()
{
  va_psql -c "SELECT va_tenant_settings_set('$tenant', '{\"storage\": $1}')" >/dev/null
}

# recorded SID: Twilio says that a call's recording is ready; the file's id.
recorded()
{
  va_psql -c "INSERT INTO calls (tenant_id, direction, from_number, to_number, twilio_call_sid) VALUES ('$tenant', 'inbound', '+15551230001', '+15551230002', 'CA$1')" \
    -c "UPDATE calls SET recording_sid = '$1', recording_url = 'https://api.twilio.com/$1' WHERE twilio_call_sid = 'CA$1'" \
    -c "SELECT f.id FROM stored_files f JOIN calls c ON c.id = f.call_id WHERE c.twilio_call_sid = 'CA$1'"
}

# What the stand-in's recording is made of.
hash_of()
{
  perl -MDigest::SHA=sha256_hex -e 'my $l = hex substr($ARGV[0], -8); print sha256_hex(pack "C*", map { ($_ * 7 + int($_ / 256)) & 255 } 0 .. $l - 1)' "$1"
}

file_is()
{
  va_psql -c "SELECT status || coalesce(' ' || bytes, '') || coalesce(' ' || sha256, '') FROM stored_files WHERE id = '$1'"
}
path_of()
{
  va_psql -c "SELECT target ->> 'path' FROM stored_files WHERE id = '$1'"
}
# What the object's last write to the bucket was.
in_bucket()
{
  sed -n "s|.*\"id\":\"/$(path_of "$1")\".*\"sha256\":\"\([0-9a-f]*\)\".*|\1|p" "$PROVIDERS_LEDGER" | tail -n 1
}

# Waits until a file's effect is over; attempts that wait for their time are made at once.
settled()
{
  va_psql -c "SELECT va_outbox_retry(id) FROM outbox WHERE payload ->> 'file_id' = '$1' AND state = 'later' AND ${2:-true}" >/dev/null
  va_is_true "SELECT NOT EXISTS (SELECT FROM outbox WHERE payload ->> 'file_id' = '$1')"
}
over()
{
  va_wait_until 40 settled "$@"
}
story()
{
  va_psql -c "SELECT concat_ws(' | ', what, detail, advice) FROM (
      SELECT id FROM outbox_history WHERE attempt_key = '$1' UNION ALL SELECT id FROM outbox_dead WHERE attempt_key = '$1') x, va_outbox_explain(x.id)"
}

# ---- to a file
sid=RE0000000000000000000000000100002a # 16 megabytes and 42 bytes
hash=$(hash_of $sid)
id=$(recorded $sid)
over "$id"
is 'a recording is stored' "$(file_is "$id")" "stored 16777258 $hash"
is 'in a file of that content' "$(sha256sum <"$files/$(path_of "$id")")" "$hash  -"
is 'that only the server can read' "$(stat -c %a "$files/$(path_of "$id")" "$files")" '600
700'
is 'and beside it is nothing' "$(find "$files" -type f | wc -l)" 1
path=$files/$(path_of "$id")
va_psql -c "DELETE FROM stored_files WHERE id = '$id'"
ok 'a row that is deleted takes its file along' va_wait_until 20 [ ! -e "$path" ]
ok 'and its removal is done' va_wait_for "SELECT count(*) = 1 FROM outbox_history WHERE attempt_key = '$id' AND kind = 'storage.delete'"
is 'with no file left' "$(find "$files" -type f)" ''
id=$(va_psql -c "SELECT va_file_put('$tenant', 'Notes.txt', convert_to('Grüße', 'UTF8'), 'text/plain')")
over "$id"
is 'a document' "$(file_is "$id") $(cat "$files/$(path_of "$id")")" "stored 7 $(printf Grüße | sha256sum | cut -d ' ' -f 1) Grüße"
id=$(va_psql -c "SELECT va_file_put('$tenant', 'empty', '')")
over "$id"
is 'an empty one' "$(file_is "$id")" "stored 0 $(sha256sum </dev/null | cut -d ' ' -f 1)"
large=$(va_psql -c "SELECT va_file_put('$tenant', 'large', decode(repeat('00ff', 4194304), 'hex'))")
over "$large"
is 'one of 8 MiB' "$(file_is "$large")" "stored 8388608 $(perl -e 'print "\x00\xff" x 4194304' | sha256sum | cut -d ' ' -f 1)"

# ---- the dispatcher is killed while it writes
sid=RE00000000000000000000000000010000
provider_fault '{"prefix": "/media", "slow_ms": 60000, "times": 1}'
id=$(recorded $sid)
part=$files/$(path_of "$id").part
ok 'a file is being written' va_wait_until 20 [ -e "$part" ]
is 'under another name' "$(ls "${part%.part}" 2>/dev/null)" ''
kill -KILL "$(dispatcher_pid)"
# As if some of it had been there.
dd if=/dev/urandom of="$part" bs=1000 count=200 conv=notrunc,nocreat 2>/dev/null
over "$id"
is 'it ends stored, and whole' "$(file_is "$id") $(sha256sum <"$files/$(path_of "$id")")" "stored 65536 $(hash_of $sid) $(hash_of $sid)  -"
is 'without a half file' "$(find "$files" -name '*.part')" ''
matches 'its story tells' "$(story "$id")" 'nobody knows whether it happened: the dispatcher ended'
# Killed, and not wanted any more.
provider_fault '{"prefix": "/media", "slow_ms": 60000, "times": 1}'
id=$(recorded RE00000000000000000000000000010001)
part=$files/$(path_of "$id").part
va_wait_until 20 [ -e "$part" ]
va_psql -c "ALTER SYSTEM SET voiceagent.dispatcher_workers = 0" -c 'SELECT pg_reload_conf()' >/dev/null
kill -KILL "$(dispatcher_pid)"
va_wait_for "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'voiceagent dispatcher%'" 20
va_psql -c "DELETE FROM stored_files WHERE id = '$id'" -c "UPDATE outbox SET run_at = now() WHERE kind = 'storage.delete'" \
  -c "ALTER SYSTEM SET voiceagent.dispatcher_workers = 1" -c 'SELECT pg_reload_conf()' >/dev/null
ok 'what a killed dispatcher left goes with its row' va_wait_until 30 [ ! -e "$part" ]
provider_faults_clear

# ---- what can go wrong at Twilio: the fault, what becomes of the file, what its row and its story say
n=0
catalogue()
{
  local place=$1 name=$2 fault=$3 status=$4 words=$5 again=${6:-true} sid id
  n=$((n + 1))
  sid=$(printf 'RE000000000000000000000000%08x' $((1000 + n)))
  [ "$name" != gone ] || sid=RE04${sid#RE00} sid=RE0404${sid#RE0400}
  provider_faults_clear
  [ -z "$fault" ] || provider_fault "$fault"
  id=$(recorded "$sid")
  over "$id" "$again"
  if [ "$status" = stored ]; then
    is "$place, $name: stored" "$(file_is "$id")" "stored $((1000 + n)) $(hash_of "$sid")"
    [ "$place" != S3 ] || is "$place, $name: in the bucket" "$(in_bucket "$id")" "$(hash_of "$sid")"
  else
    is "$place, $name: $status" "$(file_is "$id")" "$status"
    matches "$place, $name: its row says why" "$(va_psql -c "SELECT error_message FROM stored_files WHERE id = '$id'")" "$words"
  fi
  matches "$place, $name: what the user sees" "$(story "$id")" "$words"
}
media='"prefix": "/media"'
catalogue Twilio bad-request "{$media, \"status\": 400, \"times\": 1}" failed 'bad_request \(HTTP 400\)'
catalogue Twilio unauthorized "{$media, \"status\": 401, \"times\": 1}" failed 'HTTP 401.*Set twilio_account_sid and the secret'
catalogue Twilio forbidden "{$media, \"status\": 403, \"times\": 1}" failed 'HTTP 403.*Set twilio_account_sid and the secret'
catalogue Twilio early "{$media, \"status\": 404, \"times\": 2}" stored 'did not happen: Twilio has no such recording'
catalogue Twilio gone '' failed 'Twilio has no such recording.*It was deleted there'
catalogue Twilio conflict "{$media, \"status\": 409, \"times\": 1}" failed 'conflict \(HTTP 409\)'
catalogue Twilio limited "{$media, \"status\": 429, \"times\": 2}" stored 'too_many_requests \(HTTP 429\)'
catalogue Twilio unavailable "{$media, \"status\": 503, \"times\": 1}" stored 'unavailable \(HTTP 503\)'
va_psql -c 'UPDATE outbox_queues SET blocked_until = NULL'
catalogue Twilio error "{$media, \"status\": 500, \"times\": 2}" stored 'server_error \(HTTP 500\)'
catalogue Twilio slow "{$media, \"slow_ms\": 60000, \"times\": 1}" stored 'timed out waiting for the answer'
catalogue Twilio cut "{$media, \"cut\": \"before\", \"times\": 2}" stored 'connection closed without an answer'
catalogue Twilio cut-in-body "{$media, \"cut\": \"body\", \"times\": 2}" stored 'answer cut off'
catalogue Twilio garbage "{$media, \"garbage\": true, \"times\": 1}" stored 'what came is no recording'
catalogue Twilio redirect "{$media, \"redirect\": \"$PROVIDERS_URL/media/x/Recordings/$(printf 'RE000000000000000000000000%08x' $((1000 + n + 1))).wav\", \"times\": 1}" stored 'attempt 1 succeeded'
is 'and no half file is left' "$(find "$files" -name '*.part')" ''

# ---- S3
storage_setting "$s3_settings"
put='"prefix": "/bucket", "method": "PUT"'
catalogue S3 well '' stored 'attempt 1 succeeded'
catalogue S3 bad-request "{$put, \"status\": 400, \"times\": 1, \"content_type\": \"application/xml\", \"body\": \"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message></Error>\"}" failed 'the region is wrong \(HTTP 400\).*Correct the setting storage.region'
catalogue S3 unauthorized "{$put, \"status\": 401, \"times\": 1}" failed 'unauthorized \(HTTP 401\)'
catalogue S3 forbidden "{$put, \"status\": 403, \"times\": 1, \"body\": \"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>\"}" failed 'Access Denied \(HTTP 403\).*Allow s3:PutObject'
catalogue S3 conflict "{$put, \"status\": 409, \"times\": 1}" failed 'conflict \(HTTP 409\)'
catalogue S3 limited "{$put, \"status\": 429, \"times\": 1}" stored 'HTTP 429'
catalogue S3 limited-politely "{$put, \"status\": 429, \"retry_after\": 3, \"times\": 1}" stored 'HTTP 429' false
is 'S3, limited-politely: after the time named' "$(va_psql -c "SELECT extract(epoch FROM h.started_at - a.ended_at) >= 3
  FROM outbox_history h JOIN outbox_attempts a ON a.outbox_id = h.id WHERE h.kind = 'storage.recording' ORDER BY h.id DESC LIMIT 1")" t
catalogue S3 slow-down "{$put, \"status\": 503, \"times\": 1, \"body\": \"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>\"}" stored 'Reduce your request rate. \(HTTP 503\)'
va_psql -c 'UPDATE outbox_queues SET blocked_until = NULL'
catalogue S3 error-after "{$put, \"status\": 500, \"when\": \"after\", \"times\": 1}" stored 'nobody knows whether it happened: server_error \(HTTP 500\)'
catalogue S3 slow "{$put, \"slow_ms\": 60000, \"times\": 1}" stored 'timed out waiting for the answer'
catalogue S3 cut-before "{$put, \"cut\": \"before\", \"times\": 1}" stored 'connection closed without an answer'
catalogue S3 cut-after "{$put, \"cut\": \"after\", \"times\": 1}" stored 'connection closed without an answer'
catalogue S3 cut-in-body "{$put, \"cut\": \"body\", \"times\": 1}" stored 'cut off|closed'
catalogue S3 redirect "{$put, \"status\": 301, \"times\": 1, \"body\": \"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>\"}" failed 'elsewhere \(HTTP 301\).*The bucket is in another region'
catalogue S3 garbage "{$put, \"status\": 403, \"times\": 1, \"body\": \"<Error><Code>\\u0001<<</Co\"}" failed 'HTTP 403'
storage_setting "$(sed 's/}$/, "prefix": "nobucket\/"}/' <<<"$s3_settings")"
catalogue S3 no-bucket '' failed 'bucket does not exist \(HTTP 404\).*Make the bucket'
va_psql -c "SELECT va_secret_set('$tenant', 's3_secret_key', 'wrong')" >/dev/null
storage_setting '{"prefix": null}'
catalogue S3 wrong-secret '' failed 'signature we calculated does not match.*Set the secret s3_secret_key anew'
va_psql -c "SELECT va_secret_clear('$tenant', 's3_secret_key')" >/dev/null
catalogue S3 no-secret '' failed 'the keys of the bucket are not set.*va_secret_set'
va_psql -c "SELECT va_secret_set('$tenant', 's3_secret_key', 'sandbox/secret+key')" >/dev/null
va_psql -c "SELECT va_outbox_retry(d.id) FROM outbox_dead d WHERE d.kind = 'storage.recording' ORDER BY id DESC LIMIT 1" >/dev/null
ok 'one call stores what could not be' va_wait_for "SELECT status = 'stored' AND error_message IS NULL FROM stored_files WHERE name LIKE '%$(printf %08x $((1000 + n))).wav'" 20
is 'no temporary file is left' "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'voiceagent.??????' -user postgres 2>/dev/null)" ''

# ---- what was stored can be read, and deleted
id=$(va_psql -c "SELECT va_file_put('$tenant', 'a name', convert_to('in the bucket', 'UTF8'), 'text/plain')")
over "$id"
is 'a link opens the object' "$(curl -sS "$(va_psql -c "SELECT va_file_link('$id')")")" 'in the bucket'
matches 'an altered one does not' "$(curl -sS "$(va_psql -c "SELECT va_file_link('$id')" | sed 's/Expires=3600/Expires=3601/')")" SignatureDoesNotMatch
link=$(va_psql -c "SELECT va_file_link('$id')")
provider_fault '{"prefix": "/bucket", "method": "DELETE", "status": 500, "times": 1}'
va_psql -c "DELETE FROM stored_files WHERE id = '$id'"
removed()
{
  va_psql -c "UPDATE outbox SET run_at = now(), state = 'ready' WHERE attempt_key = '$id' AND state = 'later'"
  va_is_true "SELECT count(*) = 1 FROM outbox_history WHERE attempt_key = '$id' AND kind = 'storage.delete'"
}
ok 'it is deleted from the bucket, at the second try' va_wait_until 20 removed
matches 'and has gone' "$(curl -sS "$link")" NoSuchKey
id=$(va_psql -c "SELECT id FROM stored_files WHERE place = 's3' AND status = 'stored' LIMIT 1")
curl -sS -o /dev/null -X DELETE "$PROVIDERS_URL/sandbox/faults"
provider_fault '{"prefix": "/bucket", "method": "DELETE", "status": 404, "times": 1, "body": "<Error><Code>NoSuchKey</Code></Error>"}'
va_psql -c "DELETE FROM stored_files WHERE id = '$id'"
ok 'what is not there any more is deleted as well' va_wait_until 20 removed

# ---- a tenant's address may not be near
va_psql -c 'ALTER SYSTEM SET voiceagent.allow_private_urls = off' -c 'SELECT pg_reload_conf()' >/dev/null
va_wait_until 10 va_log_has 'parameter "voiceagent.allow_private_urls" changed'
guarded()
{
  id=$(va_psql -c "SELECT va_file_put('$tenant', 'private', 'x')")
  over "$id"
  [ "$(file_is "$id")" = failed ]
}
ok 'a tenant''s bucket may not be on this machine' va_wait_until 30 guarded
matches 'and its row says so' "$(va_psql -c "SELECT error_message FROM stored_files WHERE id = '$id'")" 'voiceagent.allow_private_urls'
va_psql -c "SELECT va_platform_settings_set('{\"storage\": $s3_settings}')" >/dev/null
storage_setting null
id=$(va_psql -c "SELECT va_file_put('$tenant', 'platform', 'x')")
over "$id"
matches 'the administrator''s may' "$(file_is "$id")" '^stored 1 '
is 'no secret in the log' "$(grep -c -e 'sandbox/secret' -e 0123456789abcdef0123456789abcdef -e PANIC -e 'signal 11' "$VA_LOG")" 0
is 'nor in what a user can read' "$(va_psql -c "SELECT count(*) FROM (SELECT to_jsonb(d)::text FROM outbox_dead d UNION ALL SELECT to_jsonb(h)::text FROM outbox_history h UNION ALL SELECT to_jsonb(a)::text FROM outbox_attempts a
  UNION ALL SELECT to_jsonb(f)::text FROM stored_files f) x (t) WHERE t ~ 'sandbox/secret|0123456789abcdef0123456789abcdef'")" 0
done_testing
