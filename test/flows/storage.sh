#!/bin/bash
# storage.sh: recordings from Twilio to files and to S3, documents and transcripts, end to end: launcher, dispatcher,
# stand-ins. Every kind of failure and what the user sees of it; a dispatcher that is killed while it writes.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"

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
matches 'its story tells' "$(outbox_story "$id")" 'nobody knows whether it happened: the dispatcher ended'
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

# ---- what can go wrong at Twilio
n=0
gone=00
catalogue_begin()
{
  n=$((n + 1))
  sid=$(printf 'RE%s0000000000000000000000%08x' "$gone" $((1000 + n)))
  id=$(recorded "$sid")
  key=$id
}
# patient: what waits for its time is waited for.
catalogue_wait()
{
  over "$id" "$([ "$1" != patient ] || echo false)"
}
# Is what was stored, in the file or in the bucket, whole?
catalogue_happened()
{
  local there
  if [ "$CATALOGUE_PLACE" = S3 ]; then
    there=$(in_bucket "$id")
  else
    there=$(sha256sum 2>/dev/null <"$files/$(path_of "$id")" | cut -d ' ' -f 1)
  fi
  [ "$there" != "$(hash_of "$sid")" ] || echo whole
}
catalogue_seen()
{
  va_psql -c "SELECT concat_ws(' | ', status, bytes, error_message) FROM stored_files WHERE id = '$id'"
}
CATALOGUE_FAULT='"prefix": "/media"'
CATALOGUE_PLACE=Twilio
catalogue bad-request '' 'dead: failed 1' '' '^failed \| .*bad_request \(HTTP 400\)' 'bad_request \(HTTP 400\)'
catalogue unauthorized '' 'dead: failed 1' '' '^failed \| .*HTTP 401.*Set twilio_account_sid and the secret' 'HTTP 401'
catalogue forbidden '' 'dead: failed 1' '' '^failed \| .*HTTP 403.*Set twilio_account_sid and the secret' 'HTTP 403'
catalogue not-found '"times": 2' 'done 3' whole '^stored' 'did not happen: Twilio has no such recording'
gone=0404
catalogue gone '' 'dead: failed 4' '' '^failed \| .*Twilio has no such recording.*It was deleted there' 'Twilio has no such recording'
gone=00
catalogue conflict '' 'dead: failed 1' '' '^failed \| .*conflict \(HTTP 409\)' 'conflict'
catalogue limited '"times": 2' 'done 3' whole '^stored' 'too_many_requests \(HTTP 429\)'
catalogue limited-politely '' 'done 2' whole '^stored' 'too_many_requests \(HTTP 429\)' patient
catalogue unavailable '' 'done 2' whole '^stored' 'unavailable \(HTTP 503\)'
catalogue error '"times": 2' 'done 3' whole '^stored' 'server_error \(HTTP 500\)'
catalogue slow '' 'done 2' whole '^stored' 'timed out waiting for the answer'
catalogue cut-before '"times": 2' 'done 2' whole '^stored' 'connection closed without an answer'
catalogue cut-in-body '"times": 2' 'done 3' whole '^stored' 'answer cut off'
catalogue garbage '' 'done 2' whole '^stored' 'what came is no recording'
# (Twilio's media may stand elsewhere: this redirect is followed.)
catalogue redirect "\"redirect\": \"$PROVIDERS_URL/media/x/Recordings/$(printf 'RE000000000000000000000000%08x' $((1000 + n + 1))).wav\"" 'done 1' whole '^stored' 'attempt 1 succeeded'
catalogue lost '"redirect": "http://127.0.0.1:1/elsewhere"' 'done 2' whole '^stored' 'connection refused or unreachable'
catalogue_whole 'Twilio, recordings'
is 'and no half file is left' "$(find "$files" -name '*.part')" ''

# ---- S3
storage_setting "$s3_settings"
CATALOGUE_FAULT='"prefix": "/bucket", "method": "PUT"'
CATALOGUE_PLACE=S3
s3_says()
{
  echo "\"content_type\": \"application/xml\", \"body\": \"<Error><Code>$1</Code><Message>$2</Message></Error>\""
}
catalogue well '' 'done 1' whole '^stored' 'attempt 1 succeeded'
catalogue bad-request "$(s3_says AuthorizationHeaderMalformed 'the region is wrong')" 'dead: failed 1' '' '^failed \| .*the region is wrong.*Correct the setting storage.region' 'HTTP 400'
catalogue unauthorized '' 'dead: failed 1' '' '^failed \| .*unauthorized' 'HTTP 401'
catalogue forbidden "$(s3_says AccessDenied 'Access Denied')" 'dead: failed 1' '' '^failed \| .*Access Denied.*Allow s3:PutObject' 'HTTP 403'
catalogue skewed "\"status\": 403, $(s3_says RequestTimeTooSkewed 'The difference is too large')" 'dead: failed 1' '' '^failed \| .*clock' 'HTTP 403'
catalogue not-found '' 'dead: failed 1' '' '^failed \| .*' 'HTTP 404'
catalogue conflict '' 'dead: failed 1' '' '^failed \| .*conflict' 'HTTP 409'
catalogue limited '' 'done 2' whole '^stored' 'did not happen: .*HTTP 429'
catalogue limited-politely '' 'done 2' whole '^stored' 'did not happen: .*HTTP 429' patient
catalogue unavailable "$(s3_says SlowDown 'Reduce your request rate.')" 'done 2' whole '^stored' 'Reduce your request rate. \(HTTP 503\)'
catalogue error '' 'done 2' whole '^stored' 'server_error \(HTTP 500\)'
catalogue error-after '' 'done 2' whole '^stored' 'nobody knows whether it happened: server_error \(HTTP 500\)'
catalogue slow '' 'done 2' whole '^stored' 'timed out waiting for the answer'
catalogue cut-before '' 'done 2' whole '^stored' 'connection closed without an answer'
catalogue cut-after '' 'done 2' whole '^stored' 'connection closed without an answer'
catalogue cut-in-body '' 'done 2' whole '^stored' 'cut off|closed'
catalogue redirect '"redirect": "http://127.0.0.1:1/elsewhere"' 'dead: failed 1' '' '^failed \| .*HTTP 307|moved' 'HTTP 307'
catalogue elsewhere "\"status\": 301, $(s3_says PermanentRedirect elsewhere)" 'dead: failed 1' '' '^failed \| .*elsewhere.*The bucket is in another region' 'HTTP 301'
catalogue garbage '' 'done 1' whole '^stored' 'attempt 1 succeeded'
catalogue garbled '"status": 403, "body": "<Error><Code>\u0001<<</Co"' 'dead: failed 1' '' '^failed' 'HTTP 403'
catalogue_whole S3
storage_setting "$(sed 's/}$/, "prefix": "nobucket\/"}/' <<<"$s3_settings")"
catalogue no-bucket '' 'dead: failed 1' '' '^failed \| .*bucket does not exist.*Make the bucket' 'HTTP 404'
va_psql -c "SELECT va_secret_set('$tenant', 's3_secret_key', 'wrong')" >/dev/null
storage_setting '{"prefix": null}'
catalogue wrong-secret '' 'dead: failed 1' '' '^failed \| .*signature we calculated does not match.*Set the secret s3_secret_key anew' ''
va_psql -c "SELECT va_secret_clear('$tenant', 's3_secret_key')" >/dev/null
catalogue no-secret '' 'dead: failed 1' '' '^failed \| .*the keys of the bucket are not set.*va_secret_set' ''
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
