#!/bin/bash
# files.sh: stored files by their links, through the gateway: whole and in parts, to many readers and to slow ones,
# and nothing to whoever has no right link.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"

outbox_start voiceagent.gateway_workers=1 || exit 1
va_psql -c "SELECT va_tenant_create('Shop', 'general', '+15551230002')" >/dev/null
work=$(mktemp -d)
va_at_exit "rm -rf '$work'"

# put NAME TYPE FILE: stores a file's content; its id.
put()
{
  {
    printf '\\set hex %s\n' "$(od -An -v -tx1 "$3" | tr -d ' \n')"
    echo "SELECT va_file_put((SELECT id FROM tenants), :'name', decode(:'hex', 'hex'), :'type');"
  } | va_psql -v name="$1" -v type="$2" -f -
}
link_of()
{
  va_psql -c "SELECT va_file_link('$1', '10 minutes')"
}
# get OPTION … URL: the body is in $work/body, the head in $work/head; prints the status.
get()
{
  curl -sS --max-time 30 -o "$work/body" -D "$work/head" -w '%{http_code}\n' "$@"
}
header()
{
  sed -n "s/^$1: \(.*\)\r$/\1/Ip" "$work/head"
}

head -c 1000000 /dev/urandom >"$work/large"
printf 0123456789 >"$work/ten"
: >"$work/empty"
large=$(put 'Grüße "1" & 50%.bin' application/pdf "$work/large")
ten=$(put ten.txt 'text/plain; charset=utf-8' "$work/ten")
empty=$(put empty.txt text/html "$work/empty")
ok 'the files are stored' va_wait_for "SELECT count(*) = 3 FROM stored_files WHERE status = 'stored'" 30
va_wait_until 20 curl -sSf -o /dev/null "http://127.0.0.1:$VA_HTTP_PORT/health"

# ---- whole
url=$(link_of "$large")
is 'a link is answered' "$(get "$url")" 200
ok 'with the file' cmp -s "$work/body" "$work/large"
is 'its type' "$(header content-type)" application/pdf
is 'its length' "$(header content-length)" 1000000
is 'its hash as tag' "$(header etag)" "\"$(sha256sum <"$work/large" | cut -d ' ' -f 1)\""
is 'its name, for old readers and new' "$(header content-disposition)" "attachment; filename=\"Gr__e _1_ & 50_.bin\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%221%22%20&%2050%25.bin"
is 'nothing to run' "$(header x-content-type-options), $(header content-security-policy)" 'nosniff, sandbox'
is 'HEAD' "$(get -I "$url") $(header content-length)" '200 1000000'
is 'an empty file' "$(get "$(link_of "$empty")") $(header content-length) $(stat -c %s "$work/body")" '200 0 0'
is 'twice over one connection' "$(curl -sS -w '%{num_connects} ' -o "$work/body" "$url" -o "$work/again" "$url")" '1 0 '
ok 'whole both times' cmp -s "$work/again" "$work/large"

# ---- parts
url=$(link_of "$ten")
part()
{
  is "range $1: ${2%% *}" "$(get -H "Range: $1" "$url") $(header content-range)|$(cat "$work/body")" "$2|$3"
}
part bytes=0-3 '206 bytes 0-3/10' 0123
part bytes=3-3 '206 bytes 3-3/10' 3
part bytes=7- '206 bytes 7-9/10' 789
part bytes=7-99999999999999999999 '206 bytes 7-9/10' 789
part bytes=-2 '206 bytes 8-9/10' 89
part bytes=-99 '206 bytes 0-9/10' 0123456789
part bytes=10- '416 bytes */10' 'the file has no such bytes'
part bytes=-0 '416 bytes */10' 'the file has no such bytes'
part bytes=5-3 '200 ' 0123456789
part bytes=0-1,3-4 '200 ' 0123456789
part lines=1-2 '200 ' 0123456789
part bytes=x '200 ' 0123456789
is 'HEAD of a part' "$(get -I -H 'Range: bytes=0-3' "$url") $(header content-length)" '206 4'
is 'of an empty file there is none' "$(get -H 'Range: bytes=0-' "$(link_of "$empty")")" 416
tag="\"$(sha256sum <"$work/ten" | cut -d ' ' -f 1)\""
is 'the rest of the same file' "$(get -H 'Range: bytes=5-' -H "If-Range: $tag" "$url") $(cat "$work/body")" '206 56789'
is 'all of another' "$(get -H 'Range: bytes=5-' -H 'If-Range: "other"' "$url") $(cat "$work/body")" '200 0123456789'
is 'what the reader has' "$(get -H "If-None-Match: $tag" "$url")" 304
url=$(link_of "$large")
for range in 0-499999 500000-; do
  get -H "Range: bytes=$range" "$url" >/dev/null
  cat "$work/body"
done >"$work/parts"
ok 'two parts are the whole' cmp -s "$work/parts" "$work/large"

# ---- links that open nothing: all answered alike, and counted
base=http://127.0.0.1:$VA_HTTP_PORT/files
rejected()
{
  va_psql -c "SELECT trim_scale(value) FROM va_stats() WHERE name = 'rejected.$1'"
}
before=$(rejected link)
refused()
{
  is "refused: $1" "$(get "${@:3}" "$2") $(cat "$work/body")" '403 this link is not valid, or not any more'
}
query=${url#*\?}
refused 'another file' "$base/$ten?$query"
refused 'no such file' "$base/00000000-0000-0000-0000-000000000000?$query"
refused 'another signature' "${url%?}$([ "${url: -1}" = 0 ] && echo 1 || echo 0)"
refused 'a later time' "$(sed 's/expires=/expires=9/' <<<"$url")"
refused 'no signature' "${url%&signature*}"
refused 'nothing at all' "$base/"
refused 'a path' "$base/../../etc/passwd?$query" --path-as-is
refused 'a path, encoded' "$base/..%2f..%2fPG_VERSION?$query"
refused 'a broken query' "$base/$large?expires=%zz&signature=%"
refused 'a long query' "$url&$(printf 'x%.0s' {1..600})"
expired=$(va_psql -c "SELECT va_file_link('$large', '1 second')")
ok 'a link ends with its time' va_wait_until 10 eval '[ "$(get "$expired")" = 403 ]'
is 'another method' "$(get -X POST "$url") $(header allow)" '405 GET, HEAD'
counted()
{
  [ "$(rejected link)" -ge $((before + 11)) ]
}
ok 'they are counted' va_wait_until 10 counted

# ---- files that are not as they were
path=$VA_DATA/voiceagent_files/$(va_psql -c "SELECT target ->> 'path' FROM stored_files WHERE id = '$ten'")
url=$(link_of "$ten")
printf x >>"$path"
is 'a file that was changed' "$(get "$url")" 500
rm "$path"
is 'one that is gone' "$(get "$url")" 500
ln -s /etc/passwd "$path"
is 'one that is a link now' "$(get "$url")" 500
rm "$path"
mkfifo "$path"
is 'one that is a pipe' "$(get "$url")" 500
ok 'the log says so' va_wait_until 10 va_log_has 'a stored file cannot be sent'
va_psql -c "DELETE FROM stored_files WHERE id = '$ten'"
is 'one that was deleted' "$(get "$url")" 403

# ---- readers that are slow, many, or leave
url=$(link_of "$large")
head -c 8000000 /dev/urandom >"$work/huge"
huge=$(put huge.bin application/octet-stream "$work/huge")
va_wait_for "SELECT status = 'stored' FROM stored_files WHERE id = '$huge'" 30
# One that no socket's buffers hold: the readers below must be waited for.
vast=$(put vast.bin application/octet-stream "$work/ten")
va_wait_for "SELECT status = 'stored' FROM stored_files WHERE id = '$vast'" 30
truncate -s 500M "$VA_DATA/voiceagent_files/$(va_psql -c "UPDATE stored_files SET bytes = 524288000 WHERE id = '$vast' RETURNING target ->> 'path'")"
slow=$(link_of "$vast")
pids=
for n in {1..16}; do
  # Again where the place of a reader of before was not free yet.
  curl -sS --max-time 60 --retry 10 --retry-delay 1 --limit-rate 100k -o /dev/null "$slow" 2>/dev/null &
  pids+=" $!"
done
va_at_exit "kill $pids 2>/dev/null"
ok 'too many at once are told to wait' va_wait_until 30 eval '[ "$(get "$url")" = 503 ]'
is 'with a time' "$(header retry-after)" 5
is 'others are served meanwhile' "$(curl -sS -o /dev/null -w '%{http_code}' --max-time 5 "http://127.0.0.1:$VA_HTTP_PORT/health")" 200
# shellcheck disable=SC2086
kill $pids
# shellcheck disable=SC2086
wait $pids 2>/dev/null
ok 'when they leave there is room again' va_wait_until 10 eval '[ "$(get "$url")" = 200 ]'
pids=
for n in {1..8}; do
  curl -sS --max-time 60 -o "$work/slow$n" "$(link_of "$huge")" &
  pids+=" $!"
done
# shellcheck disable=SC2086
wait $pids
is 'eight at once' "$(for n in {1..8}; do cmp -s "$work/slow$n" "$work/huge" && printf ok; done)" okokokokokokokok
ok 'the busy ones are counted' va_wait_until 10 eval '[ "$(rejected downloads)" -gt 0 ]'
curl -sS --max-time 60 --limit-rate 100k -o /dev/null "$slow" 2>/dev/null &
slow_pid=$!
va_psql -c 'ALTER SYSTEM SET voiceagent.gateway_workers = 0' -c 'SELECT pg_reload_conf()' >/dev/null
ok 'a gateway with a download under way ends in time' va_wait_for "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'voiceagent_gateway'" 10
wait $slow_pid 2>/dev/null
is 'no crash' "$(grep -c -e PANIC -e 'signal 11' -e 'signal 6' "$VA_LOG")" 0
done_testing
