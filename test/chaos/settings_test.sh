#!/bin/bash
# settings_test.sh: a wrong setting is refused, and the message says how to write it.
. "$(dirname "$0")/lib.sh"

va_cluster_start voiceagent.gateway_workers=0 || exit 1

# refuse SETTING VALUE HINT: ALTER SYSTEM checks a value as the configuration file would.
refuse()
{
  local output
  output=$(va_psql -c "ALTER SYSTEM SET voiceagent.$1 = '$2'" 2>&1)
  matches "$1 refuses '$2'" "$output" "invalid value for parameter|outside the valid range"
  [ -z "$3" ] || matches "$1 explains '$2'" "$output" "HINT:.*$3"
}

accept()
{
  is "$1 accepts '$2'" "$(va_psql -c "ALTER SYSTEM SET voiceagent.$1 = '$2'" 2>&1)" ''
}

accept listen_addresses '*'
accept listen_addresses 'localhost, 192.0.2.1,::1'
refuse listen_addresses '' 'voiceagent.gateway_workers'
refuse listen_addresses 'a,,b' 'separated by commas'
refuse listen_addresses 'http://x' 'separated by commas'
refuse listen_addresses 'two words' 'separated by commas'

accept public_url ''
accept public_url 'https://voice.example.com'
accept public_url 'https://example.com:8443/voice'
refuse public_url 'voice.example.com' 'https://voice.example.com'
refuse public_url 'ftp://example.com' 'https://'
refuse public_url 'https://' 'https://'
refuse public_url 'https://example.com/' 'https://'
refuse public_url 'https://example.com?a=b' 'https://'
refuse public_url 'https://example.com#a' 'https://'
refuse public_url 'https://user:secret@example.com' 'https://'
refuse public_url 'https://exa mple.com' 'https://'

accept twilio_base_url 'http://127.0.0.1:9000'
refuse twilio_base_url '' 'RESET'
refuse ultravox_base_url 'wss://api.ultravox.ai' 'address of the service'
accept realtime_base_url 'wss://engine.example.com/v1'
refuse realtime_base_url 'engine' 'address'

accept conninfo "host=db.example.com user=voiceagent_gateway password=''a b''"
accept conninfo 'postgresql://voiceagent_gateway@db.example.com/app'
refuse conninfo 'db.example.com' 'keyword|psql'
refuse conninfo 'host=a password' 'psql'

refuse http_port 0 ''
refuse media_port 65536 ''
refuse gateway_workers 65 ''
refuse gateway_connections 0 ''
refuse log_level loud ''
refuse database '' 'CREATE EXTENSION'

is 'an unknown setting is refused' \
  "$(va_psql -c "SET voiceagent.no_such_thing = 1" 2>&1 | grep -c 'invalid configuration parameter name')" 1
is 'tenant_id takes a uuid' "$(va_psql -c "SET voiceagent.tenant_id = '8f14e45f-ceea-467f-9575-d0f0c1b3c0ab'" 2>&1)" ''
matches 'tenant_id takes nothing else' "$(va_psql -c "SET voiceagent.tenant_id = 'me'" 2>&1)" 'HINT'
is 'ordinary users do not see conninfo' \
  "$(va_psql -c 'CREATE ROLE somebody' -c 'SET ROLE somebody' -c 'SELECT count(*) FROM pg_settings WHERE name = '"'voiceagent.conninfo'"'')" 0
is 'every setting has a description' \
  "$(va_psql -c "SELECT count(*) FROM pg_settings WHERE name LIKE 'voiceagent.%' AND coalesce(short_desc, '') = ''")" 0

# A certificate that is not there stops a start, and not the running server.
ok 'reload with a missing certificate keeps the server' va_psql -c "ALTER SYSTEM RESET ALL" \
  -c "ALTER SYSTEM SET voiceagent.ssl_cert_file = '/nowhere/cert.pem'" -c 'SELECT pg_reload_conf()'
ok 'and says so in the log' va_wait_until 10 va_log_has 'Could not read the file'
is 'the old value stays' "$(va_psql -c 'SHOW voiceagent.ssl_cert_file')" ''
va_psql -c 'ALTER SYSTEM RESET ALL'

# Without shared_preload_libraries SQL works, and there is no launcher.
va_cluster_stop
va_cluster_start shared_preload_libraries= || exit 1
ok 'the extension works without being preloaded' va_psql -c 'CREATE EXTENSION voiceagent'
ok 'the library can be loaded by a session' va_psql -c "LOAD 'voiceagent'" -c 'SHOW voiceagent.http_port'
is 'then there is no launcher' "$(va_psql -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'voiceagent%'")" 0

done_testing
