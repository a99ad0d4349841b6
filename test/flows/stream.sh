#!/bin/bash
# stream.sh: who may open a media stream, and what becomes of those who may not or who talk nonsense:
# they are refused, closed and counted, and the gateway goes on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ws.sh"

flow_start || exit 1
NUMBER=+15551232001
flow_tenant $NUMBER short
ok 'the gateway learns the account' va_wait_until 10 gateway_knows_account
gateway=$(lab_gateway_pid)

# token_of SID: a new call, answered; prints the token of its stream.
token_of()
{
  webhook answer "CallSid=$1" From=+15550100011 "To=$NUMBER" CallStatus=ringing Direction=inbound |
    sed -n 's/.*name="token" value="\([^"]*\)".*/\1/p'
}
counting_begins

# One that never says anything: begun first, looked at last.
ws_open "$(ws_signed)"
idle=$ws
is 'a signed handshake is accepted' "$ws_status" 101

ws_open
is 'a handshake without signature is refused' "$ws_status" 403
tally[bad_signature]=$((tally[bad_signature] + 1))
ok 'and the connection closed' ws_ends 10
ws_drop
ws_open 'X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA='
is 'so is one with a wrong signature' "$ws_status" 403
tally[bad_signature]=$((tally[bad_signature] + 1))
ws_drop
ws_open "$(ws_signed ffffffffffffffffffffffffffffffff)"
is 'and one of a token that nobody has' "$ws_status" 403
tally[bad_signature]=$((tally[bad_signature] + 1))
ws_drop

# refused WHAT: the current socket is ended, and counted as a wrong token.
refused()
{
  local kind=${2:-token}
  ok "$1: the stream is closed" ws_ends 15
  tally[$kind]=$((tally[$kind] + 1))
  ws_drop
}
token=$(token_of CA31)
ok 'a call is answered with a token' [ -n "$token" ]
ws_open "$(ws_signed)"
ws_start CA31 wrong-token
refused 'a token that was never given'
ws_open "$(ws_signed)"
ws_start CA31 ''
refused 'no token'
other=$(token_of CA32)
ws_open "$(ws_signed)"
ws_start CA32 "$token"
refused "another call's token"
ws_open "$(ws_signed)"
ws_start CA31 "$token" MZ31 AC00000000000000000000000000000002
refused 'an account that did not sign' bad_signature

ws_open "$(ws_signed)"
ws_start CA31 "$token" MZ31
ok 'the right token is accepted' va_wait_for "SELECT count(*) = 1 FROM call_metrics WHERE stream_sid = 'MZ31' AND stream_started_at IS NOT NULL" 10
# A few senseless messages of a good stream are no reason to lose a call.
for text in '{"event":"no such thing"}' '[]' '{"event":"media","media":{"payload":"@@@"}}' '{"event":"mark","mark":{"name":"never sent"}}' \
  '{"event":"dtmf","dtmf":{"digit":"x"}}' '{"event":"dtmf","sequenceNumber":"2","streamSid":"MZ31","dtmf":{"track":"inbound_track","digit":"5"}}'; do
  ws_text "$text"
done
ok 'nonsense among good messages does no harm' va_wait_for "SELECT transcript @> '[{\"text\": \"5\", \"medium\": \"dtmf\"}]' FROM calls WHERE twilio_call_sid = 'CA31'" 10
ws_drop
ok 'a stream that just breaks is on record' va_wait_for "SELECT end_reason = 'stream_closed' FROM call_metrics WHERE stream_sid = 'MZ31'" 10
ws_open "$(ws_signed)"
ws_start CA31 "$token" MZ32
refused 'a token that was used'
is 'and nothing of it is stored' "$(row "SELECT count(*) FROM call_metrics WHERE stream_sid = 'MZ32'")" 0

# closed WHAT: the current socket is ended as malformed.
ws_open "$(ws_signed)"
for _ in {1..25}; do
  ws_text 'this is {no JSON'
done
ok 'garbage: the stream is closed' ws_ends 15
tally[malformed]=$((tally[malformed] + 1))
ws_drop
ws_open "$(ws_signed)"
for _ in {1..25}; do
  ws_frame 2 'binary'
done
ok 'binary frames: the stream is closed' ws_ends 15
tally[malformed]=$((tally[malformed] + 1))
ws_drop
ws_open "$(ws_signed)"
ws_text "{\"event\":\"media\",\"pad\":\"$(head -c 100000 /dev/zero | tr '\0' a)\"}"
ok 'a message of 100 kB: the stream is closed' ws_ends 15
ws_drop
ws_open "$(ws_signed)"
ws_raw '\x81\x02{}'
ok 'a frame without a mask: the stream is closed' ws_ends 15
ws_drop
ws_open "$(ws_signed)"
ws_raw '\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00'
ok 'a frame of 2^64 bytes: the stream is closed' ws_ends 15
ws_drop
ws_open "$(ws_signed)"
ws_raw 'GET / HTTP/1.1\r\n\r\n'
ok 'HTTP within the stream: the stream is closed' ws_ends 15
ws_drop

ws=$idle
ok 'a stream that never starts is closed' ws_ends 20
ws_drop
counting_ends
is 'each is counted once, by its kind' "$counted" "$wanted"

is 'plain HTTP is told what is expected' "$(plain "http://127.0.0.1:$VA_MEDIA_PORT/media-stream")" 426
is 'the gateway is the same process as before' "$(lab_gateway_pid)" "$gateway"
ok 'it is well' lab_gateway_healthy
call_begin short $NUMBER short
call_end short
is 'and carries a call' $? 0
# (A call that was answered and whose stream never came is discarded after half a minute.)
no_calls()
{
  [ "$(curl -s "http://127.0.0.1:$VA_HTTP_PORT/health" | sed 's/.*"calls":\([0-9]*\).*/\1/')" = 0 ]
}
ok 'no call is left over' va_wait_until 45 no_calls
done_testing
