#!/bin/bash
# ws.sh: a WebSocket client in the shell, for messages that no decent client would send. One socket
# at a time is the current one ($ws); several may be open.
#
#   ws_open [HEADER …]        handshake for /media-stream; $ws_status is the HTTP status
#   ws_signed [TOKEN]         prints the header with Twilio's signature of that handshake
#   ws_text TEXT, ws_frame OPCODE TEXT, ws_raw BYTES-AS-PRINTF-FORMAT
#   ws_start CALLSID TOKEN [STREAMSID [ACCOUNT]]
#   ws_ends SECONDS           true when the server's next words are that it ends the connection, or it
#                             just does, within that time
#   ws_drop

ws_open()
{
  local header line
  exec {ws}<>"/dev/tcp/127.0.0.1/$VA_MEDIA_PORT" || return 1
  printf 'GET /media-stream HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' "$VA_MEDIA_PORT" >&"$ws"
  printf 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' >&"$ws"
  for header in "$@"; do
    printf '%s\r\n' "$header" >&"$ws"
  done
  printf '\r\n' >&"$ws"
  read -r -t 10 -u "$ws" _ ws_status _
  while read -r -t 10 -u "$ws" line && [ "${line%$'\r'}" != '' ]; do :; done
}

ws_signed()
{
  printf 'X-Twilio-Signature: %s' "$(twilio_signature "${1:-$LAB_TOKEN}" "ws://127.0.0.1:$VA_MEDIA_PORT/media-stream")"
}

# Writing to a socket that the server has closed is no error of the test.
ws_raw()
{
  # shellcheck disable=SC2059
  (trap '' PIPE; printf "$1" >&"$ws") 2>/dev/null
}

# A client's frame is masked; a mask of zeros leaves the text as it is.
ws_frame()
{
  local LC_ALL=C len=${#2} head
  printf -v head '\\x%02x' $((0x80 | $1))
  if [ "$len" -lt 126 ]; then
    printf -v head '%s\\x%02x' "$head" $((0x80 | len))
  elif [ "$len" -lt 65536 ]; then
    printf -v head '%s\\xfe\\x%02x\\x%02x' "$head" $((len >> 8)) $((len & 255))
  else
    printf -v head '%s\\xff\\x00\\x00\\x00\\x00\\x%02x\\x%02x\\x%02x\\x%02x' "$head" $((len >> 24)) $((len >> 16 & 255)) $((len >> 8 & 255)) $((len & 255))
  fi
  (trap '' PIPE; { printf '%b' "$head\\x00\\x00\\x00\\x00" && printf '%s' "$2"; } >&"$ws") 2>/dev/null
}

ws_text()
{
  ws_frame 1 "$1"
}

ws_start()
{
  local stream=${3:-MZ$RANDOM$RANDOM} account=${4:-$LAB_ACCOUNT}
  ws_text '{"event":"connected","protocol":"Call","version":"1.0.0"}'
  ws_text "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"streamSid\":\"$stream\",\"start\":{\"accountSid\":\"$account\",\"streamSid\":\"$stream\",\"callSid\":\"$1\",\"tracks\":[\"inbound\"],\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1},\"customParameters\":{\"token\":\"$2\",\"tenant_id\":\"x\"}}}"
}

# A close frame is answered, as it should be; then the connection must end.
ws_ends()
{
  local LC_ALL=C byte=
  read -r -N 1 -t "$1" -u "$ws" byte
  [ $? -le 128 ] || return 1
  [ "$byte" != $'\x88' ] || ws_frame 8 ''
  timeout 10 cat <&"$ws" >/dev/null 2>&1
  [ $? -ne 124 ]
}

ws_drop()
{
  exec {ws}>&-
}
