#!/bin/bash
# tls.sh: the gateway's own TLS: webhooks and streams work over it, and a renewed certificate is
# taken up by a reload while a call goes on.
. "$(dirname "$0")/lib.sh"

certificates=$(mktemp -d)
chmod 755 "$certificates"
va_at_exit "rm -rf '$certificates'"

# make_certificate NAME: a self-signed one for localhost.
make_certificate()
{
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$certificates/$1.key" -out "$certificates/$1.crt" 2>/dev/null
  chmod 644 "$certificates/$1.crt"
  chmod 600 "$certificates/$1.key"
  [ "$(id -u)" -ne 0 ] || chown "$VA_USER" "$certificates/$1.key"
}

# use_certificate NAME [KEY]: puts it in place.
use_certificate()
{
  ln -sfn "$1.crt" "$certificates/cert"
  ln -sfn "${2:-$1}.key" "$certificates/key"
}

# The laboratory asks for health over plain HTTP, which there is none of here.
lab_gateway_healthy()
{
  curl -sSf -o /dev/null --cacert "$certificates/trusted" "https://localhost:$VA_HTTP_PORT/health" 2>/dev/null
}

make_certificate first
make_certificate second
use_certificate first
# Twilio trusts whoever is certified; here it is told whom.
cat "$certificates/first.crt" "$certificates/second.crt" >"$certificates/trusted"
export SSL_CERT_FILE=$certificates/trusted
flow_start voiceagent.listen_addresses=localhost "voiceagent.ssl_cert_file=$certificates/cert" \
  "voiceagent.ssl_key_file=$certificates/key" || exit 1
ok 'health over TLS' lab_gateway_healthy
is 'plain HTTP on that port is refused' "$(plain "http://localhost:$VA_HTTP_PORT/health" 2>/dev/null | tr -d '0\n' | head -c 1)" ''
ok 'the gateway goes on after plain HTTP' lab_gateway_healthy

number=1000
for name in errand errand-rt short; do
  number=$((number + 1))
  flow_tenant "+1555123$number" "$name"
done
known()
{
  [ "$(curl -sS -o /dev/null -w '%{http_code}' --cacert "$certificates/trusted" \
    -H "X-Twilio-Signature: $(twilio_signature "$LAB_TOKEN" "https://localhost/webhook/voice/status" "AccountSid=$LAB_ACCOUNT" CallSid=CA0 CallStatus=ringing)" \
    -d "AccountSid=$LAB_ACCOUNT" -d CallSid=CA0 -d CallStatus=ringing "https://localhost:$VA_HTTP_PORT/webhook/voice/status")" = 204 ]
}
ok 'the gateway learns the account' va_wait_until 10 known

url=https://localhost:$VA_HTTP_PORT
call_begin errand +15551231001 errand --url "$url"
call_begin errand-rt +15551231002 errand-rt --url "$url"
ok 'the calls talk' va_wait_until 20 eval 'caller_did errand said && caller_did errand-rt said'

served()
{
  openssl s_client -connect "localhost:$1" -servername localhost </dev/null 2>/dev/null | openssl x509 -noout -subject 2>/dev/null
}
serves()
{
  [[ "$(served "$1")" == *"$2" ]]
}
ok 'the first certificate is served' serves "$VA_HTTP_PORT" first
gateway=$(lab_gateway_pid)
use_certificate second
row 'SELECT pg_reload_conf()' >/dev/null
ok 'new connections get the new certificate' va_wait_until 10 serves "$VA_HTTP_PORT" second
ok 'on the media port too' serves "$VA_MEDIA_PORT" second

# A pair that does not fit is not taken.
use_certificate second first
row 'SELECT pg_reload_conf()' >/dev/null
ok 'a wrong pair is told in the log' va_wait_until 10 va_log_has 'cannot use the TLS file'
ok 'and the good one stays' serves "$VA_HTTP_PORT" second
use_certificate second
row 'SELECT pg_reload_conf()' >/dev/null

is 'the calls were not over by then' "$(row "SELECT count(*) FROM calls WHERE status = 'in-progress'")" 2
# (What the calls under way still ask over new connections meets the new certificate too.)
call_begin short +15551231003 short --url "$url"
for name in short errand errand-rt; do
  call_end $name
  is "$name ends as expected" $? 0
  ok "$name had one stream" eval '[ "$(grep -c "\"stream_started\"" "$LAB_DIR/'$name'.jsonl")" = 1 ]'
done
is 'the gateway is the same process' "$(lab_gateway_pid)" "$gateway"
ledgers_load
for name in short errand errand-rt; do
  is "$name: the transcript is what was said" "$(row "SELECT * FROM test.transcript_problems('$name')")" ''
done
ok 'plain streams are not served beside TLS' eval '! curl -sSf --max-time 5 "http://localhost:$VA_MEDIA_PORT/health"'
done_testing
