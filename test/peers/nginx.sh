#!/bin/bash
# nginx.sh: the usual way to production: nginx in front with the name and the certificate, set up as
# docs/operations.md says, the gateway behind it on two plain ports.
#
# Skipped, loudly, where nginx cannot be had.
# shellcheck source=../flows/lib.sh
. "$(dirname "$0")/../flows/lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
nginx=$(PATH=$PATH:/usr/sbin command -v nginx)
[ -n "$nginx" ] || peer_skip 'there is no nginx: make check-peers installs the package nginx-light as root'

flow_start || exit 1
work=$(mktemp -d)
va_at_exit "rm -rf '$work'"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext 'subjectAltName=DNS:localhost' -keyout "$work/key" -out "$work/cert" 2>/dev/null
port=$(va_free_port)
# The two locations are those of the handbook, with this cluster's ports.
locations=$(awk '/^```nginx/ { on = 1; next } /^```/ { on = 0 } on' "$VA_ROOT/docs/operations.md" |
  sed "s/:8000/:$VA_HTTP_PORT/; s/:8080/:$VA_MEDIA_PORT/")
ok 'the handbook has a configuration' [ -n "$locations" ]
cat >"$work/nginx.conf" <<END
worker_processes 1;
pid $work/pid;
error_log $work/error.log;
daemon off;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')
events { worker_connections 200; }
http {
  access_log off;
  client_body_temp_path $work/body;
  proxy_temp_path $work/proxy;
  fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi;
  scgi_temp_path $work/scgi;
  server {
    listen 127.0.0.1:$port ssl;
    ssl_certificate $work/cert;
    ssl_certificate_key $work/key;
    $locations
  }
}
END
"$nginx" -c "$work/nginx.conf" -p "$work" >"$work/log" 2>&1 &
nginx_pid=$!
va_at_exit "kill $nginx_pid 2>/dev/null; wait $nginx_pid 2>/dev/null"
row "ALTER SYSTEM SET voiceagent.public_url = 'https://voice.example.com'"
row 'SELECT pg_reload_conf()' >/dev/null
flow_tenant +15551231001 errand
flow_tenant +15551231002 short-rt

through()
{
  [ "$(curl -sS -o /dev/null -w '%{http_code}' --cacert "$work/cert" \
    -H "X-Twilio-Signature: $(twilio_signature "$1" https://voice.example.com/webhook/voice/status "AccountSid=$LAB_ACCOUNT" CallSid=CA0 CallStatus=ringing)" \
    -d "AccountSid=$LAB_ACCOUNT" -d CallSid=CA0 -d CallStatus=ringing "https://localhost:$port/webhook/voice/status" 2>/dev/null)" = "$2" ]
}
ok 'a signed webhook passes' va_wait_until 10 through "$LAB_TOKEN" 204
ok 'a wrong signature does not' through wrong 403
export SSL_CERT_FILE=$work/cert
call_begin errand +15551231001 errand --url "https://localhost:$port" --public-url https://voice.example.com
call_begin short-rt +15551231002 short-rt --url "https://localhost:$port" --public-url https://voice.example.com
for name in errand short-rt; do
  call_end $name
  is "$name ends as expected" $? 0
  ok "$name is over in the database" call_over_in_database $name
done
ledgers_load
for name in errand short-rt; do
  is "$name: the transcript is what was said" "$(row "SELECT * FROM test.transcript_problems('$name')")" ''
  is "$name: the counts are right" "$(row "SELECT * FROM test.count_problems('$name')")" ''
done
is 'nginx saw no error' "$(grep -c '\[error\]\|\[crit\]' "$work/error.log")" 0
done_testing
