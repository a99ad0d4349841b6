/*
 * twilio_stream.c: the messages of a Twilio media stream.
 *
 * Wire facts: Twilio docs, "Media Streams - WebSocket Messages". A media message takes a single
 * pass over its text (read_media_fast); all else is parsed by json.c. Both ways must give the same
 * answer for the same text, which a property test and a fuzz target hold them to; the second one
 * has a name of its own (twilio_stream_parse_slow) for their sake.
 */
#include "core/twilio_stream.h"

#include <string.h>

#include "core/base64.h"
#include "core/json.h"
#include "core/json_scan.h"
#include "core/twilio_stream_slow.h"

/* Characters that stand in a JSON string as they are. */
static bool
is_plain(const char *text, size_t len)
{
	return json_scan_plain(text, text + len) == text + len;
}

static void
reset(struct twilio_message *out)
{
	out->event = TWILIO_MALFORMED;
	out->payload = NULL;
	out->payload_len = 0;
	out->timestamp_ms = 0;
	out->outbound_track = false;
	out->stream_sid[0] = '\0';
	out->call_sid[0] = '\0';
	out->account_sid[0] = '\0';
	out->token[0] = '\0';
	out->is_ulaw_8k_mono = false;
	out->digit = '\0';
	out->mark[0] = '\0';
}

/* The members of the "media" object. False when it is not plain or not complete. A repeated member
 * counts as json-c counts it: the last one. */
static bool
scan_media(struct json_scan *s, struct twilio_message *out)
{
	struct json_scan_value name;
	struct json_scan_value value;
	bool first = true;
	enum json_scan_step step;

	if (!json_scan_char(s, '{'))
		return false;
	while ((step = json_scan_member(s, &first, &name)) == JSON_SCAN_MEMBER)
	{
		if (!json_scan_scalar(s, &value))
			return false;
		if (json_scan_is(&name, "payload"))
		{
			if (value.is_number)
				return false;
			out->payload = value.text;
			out->payload_len = value.len;
		}
		else if (json_scan_is(&name, "timestamp"))
		{
			if (!json_scan_digits(value.text, value.len, &out->timestamp_ms))
				return false;
		}
		else if (json_scan_is(&name, "track"))
		{
			if (value.is_number)
				return false;
			out->outbound_track = json_scan_is(&value, "outbound");
		}
	}
	return step == JSON_SCAN_CLOSED && out->payload != NULL;
}

/* A whole media message in one pass. False: not a plain one; *out is then to be reset. */
static bool
read_media_fast(const char *text, size_t len, struct twilio_message *out)
{
	struct json_scan s = {text, text + len};
	struct json_scan_value name;
	struct json_scan_value value;
	bool first = true;
	bool is_media = false;
	enum json_scan_step step;

	if (!json_scan_char(&s, '{'))
		return false;
	while ((step = json_scan_member(&s, &first, &name)) == JSON_SCAN_MEMBER)
	{
		if (json_scan_is(&name, "media"))
		{
			/* Twice: what the first one set must not remain. */
			if (out->payload != NULL || !scan_media(&s, out))
				return false;
		}
		else if (!json_scan_scalar(&s, &value))
			return false;
		else if (json_scan_is(&name, "event"))
		{
			if (!json_scan_is(&value, "media"))
				return false;
			is_media = true;
		}
	}
	json_scan_space(&s);
	out->event = TWILIO_MEDIA;
	return step == JSON_SCAN_CLOSED && s.at == s.end && is_media && out->payload != NULL;
}

/* Copies a string member that must be there and fit. */
static bool
copy_member(struct json_object *obj, const char *key, char *out, size_t size, struct va_error *err)
{
	const char *value = json_text(obj, key, NULL);

	if (value == NULL || value[0] == '\0')
		return va_fail(err, "%s is missing or not a string", key);

	size_t len = strlen(value);

	if (len >= size || !is_plain(value, len))
		return va_fail(err, "%s is too long or has unusual characters", key);
	memcpy(out, value, len + 1);
	return true;
}

/* A count that Twilio may send as a number or as a string; absent leaves *number alone. */
static bool
read_count(struct json_object *obj, const char *key, uint64_t *number, struct va_error *err)
{
	struct json_object *value = json_member(obj, key);

	if (value == NULL)
		return true;
	if (json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0)
	{
		*number = (uint64_t) json_object_get_int64(value);
		return true;
	}
	if (json_object_is_type(value, json_type_string) &&
		json_scan_digits(json_object_get_string(value), (size_t) json_object_get_string_len(value),
						 number))
		return true;
	return va_fail(err, "%s is not a count", key);
}

/* How many characters of text spell value, which was written with "\/" for "/" or without; 0 when
 * they do not, followed by a quote. */
static size_t
spelled(const char *text, size_t len, const char *value, size_t value_len)
{
	size_t at = 0;

	for (size_t i = 0; i < value_len; i++)
	{
		if (value[i] == '/' && len - at >= 2 && text[at] == '\\')
			at++;
		if (at == len || text[at] != value[i])
			return 0;
		at++;
	}
	return at < len && text[at] == '"' ? at : 0;
}

/* The caller's text outlives the parsed document, so the payload is looked for there: any string
 * in the text that spells it is as good as the one that was meant. */
static bool
locate_payload(const char *text, size_t len, const char *value, size_t value_len,
			   struct twilio_message *out, struct va_error *err)
{
	const char *end = text + len;
	const char *quote = text;

	if (value_len == 0)
	{
		out->payload = text;
		return true;
	}
	while ((quote = memchr(quote, '"', (size_t) (end - quote))) != NULL)
	{
		quote++;
		out->payload_len = spelled(quote, (size_t) (end - quote), value, value_len);
		if (out->payload_len > 0)
		{
			out->payload = quote;
			return true;
		}
	}
	return va_fail(err, "media.payload is written with unusual escapes");
}

static bool
read_media(struct json_object *message, const char *text, size_t len, struct twilio_message *out,
		   struct va_error *err)
{
	struct json_object *media = json_member(message, "media");
	struct json_object *payload = json_member(media, "payload");
	struct json_object *track = json_member(media, "track");

	if (!json_object_is_type(payload, json_type_string))
		return va_fail(err, "media.payload is missing or not a string");
	if (track != NULL && !json_object_is_type(track, json_type_string))
		return va_fail(err, "media.track is not a string");
	out->outbound_track = strcmp(json_text(media, "track", ""), "outbound") == 0;
	return read_count(media, "timestamp", &out->timestamp_ms, err) &&
		   locate_payload(text, len, json_object_get_string(payload),
						  (size_t) json_object_get_string_len(payload), out, err);
}

/* start.mediaFormat: Twilio documents one format; anything else must not be taken for it. */
static bool
read_format(struct json_object *start, struct twilio_message *out, struct va_error *err)
{
	struct json_object *format = json_member(start, "mediaFormat");
	uint64_t rate = 8000;
	uint64_t channels = 1;

	if (format != NULL && !json_object_is_type(format, json_type_object))
		return va_fail(err, "start.mediaFormat is not an object");
	if (!read_count(format, "sampleRate", &rate, err) ||
		!read_count(format, "channels", &channels, err))
		return false;
	out->is_ulaw_8k_mono =
		strcmp(json_text(format, "encoding", "audio/x-mulaw"), "audio/x-mulaw") == 0 &&
		rate == 8000 && channels == 1;
	return true;
}

static bool
read_start(struct json_object *message, struct twilio_message *out, struct va_error *err)
{
	struct json_object *start = json_member(message, "start");
	struct json_object *parameters = json_member(start, "customParameters");
	const char *outer = json_text(message, "streamSid", NULL);

	if (!json_object_is_type(start, json_type_object))
		return va_fail(err, "start is missing or not an object");
	/* The stream's SID stands in two places; one is enough, two must agree. */
	if (!copy_member(json_member(start, "streamSid") != NULL ? start : message, "streamSid",
					 out->stream_sid, sizeof(out->stream_sid), err) ||
		!copy_member(start, "callSid", out->call_sid, sizeof(out->call_sid), err) ||
		!copy_member(start, "accountSid", out->account_sid, sizeof(out->account_sid), err))
		return false;
	if (outer != NULL && strcmp(outer, out->stream_sid) != 0)
		return va_fail(err, "streamSid differs from start.streamSid");
	if (parameters != NULL && !json_object_is_type(parameters, json_type_object))
		return va_fail(err, "start.customParameters is not an object");
	if (json_member(parameters, "token") != NULL &&
		json_text(parameters, "token", "?")[0] != '\0' &&
		!copy_member(parameters, "token", out->token, sizeof(out->token), err))
		return false;
	return read_format(start, out, err);
}

static bool
read_dtmf(struct json_object *message, struct twilio_message *out, struct va_error *err)
{
	struct json_object *dtmf = json_member(message, "dtmf");
	const char *digit = json_text(dtmf, "digit", "");
	int64_t number;

	if (json_integer(dtmf, "digit", &number) && number >= 0 && number <= 9)
		out->digit = (char) ('0' + number);
	else if (digit[0] != '\0' && digit[1] == '\0' && strchr("0123456789*#ABCD", digit[0]) != NULL)
		out->digit = digit[0];
	else
		return va_fail(err, "dtmf.digit is missing or not a key");
	return true;
}

enum twilio_event
twilio_stream_parse_slow(const char *text, size_t len, struct twilio_message *out,
						 struct va_error *err)
{
	struct json_object *message;
	const char *event;
	bool good = true;
	enum twilio_event kind = TWILIO_UNKNOWN;

	reset(out);
	message = json_parse(text, len, err);
	if (message == NULL)
		return TWILIO_MALFORMED;
	event = json_text(message, "event", NULL);
	if (event == NULL)
		good = va_fail(err, "event is missing or not a string");
	else if (strcmp(event, "media") == 0)
	{
		kind = TWILIO_MEDIA;
		good = read_media(message, text, len, out, err);
	}
	else if (strcmp(event, "start") == 0)
	{
		kind = TWILIO_START;
		good = read_start(message, out, err);
	}
	else if (strcmp(event, "dtmf") == 0)
	{
		kind = TWILIO_DTMF;
		good = read_dtmf(message, out, err);
	}
	else if (strcmp(event, "mark") == 0)
	{
		kind = TWILIO_MARK;
		good = copy_member(json_member(message, "mark"), "name", out->mark, sizeof(out->mark), err);
	}
	else if (strcmp(event, "stop") == 0)
		kind = TWILIO_STOP;
	else if (strcmp(event, "connected") == 0)
		kind = TWILIO_CONNECTED;
	json_object_put(message);
	if (!good)
		reset(out);
	else
		out->event = kind;
	return out->event;
}

enum twilio_event
twilio_stream_parse(const char *text, size_t len, struct twilio_message *out, struct va_error *err)
{
	reset(out);
	if (len > TWILIO_MAX_MESSAGE)
	{
		va_fail(err, "message of %zu bytes is too large", len);
		return TWILIO_MALFORMED;
	}
	if (read_media_fast(text, len, out))
		return TWILIO_MEDIA;
	return twilio_stream_parse_slow(text, len, out, err);
}

ssize_t
twilio_stream_audio(const struct twilio_message *message, uint8_t *out, size_t size)
{
	const char *from = message->payload;
	const char *end = from + message->payload_len;
	size_t done = 0;
	size_t held = 0;
	char piece[256]; /* a multiple of 4, so that only the last piece can have padding */

	if (memchr(from, '\\', message->payload_len) == NULL)
		return base64_decode(from, message->payload_len, out, size);

	while (from < end)
	{
		if (*from == '\\')
			from++;
		if (from < end)
			piece[held++] = *from++;
		if (held < sizeof(piece) && from < end)
			continue;

		ssize_t bytes = base64_decode(piece, held, out + done, size - done);

		if (bytes < 0 || (from < end && bytes != (ssize_t) sizeof(piece) / 4 * 3))
			return -1;
		done += (size_t) bytes;
		held = 0;
	}
	return (ssize_t) done;
}

/* A writer without bounds checks of its own: each message measures itself first. */
static char *
put(char *to, const char *text, size_t len)
{
	memcpy(to, text, len);
	return to + len;
}

#define PUT(to, literal) put((to), (literal), sizeof(literal) - 1)
#define LENGTH(literal) (sizeof(literal) - 1)

#define MEDIA_HEAD "{\"event\":\"media\",\"streamSid\":\""
#define MEDIA_BODY "\",\"media\":{\"payload\":\""
#define MEDIA_TAIL "\"}}"
#define MARK_HEAD "{\"event\":\"mark\",\"streamSid\":\""
#define MARK_BODY "\",\"mark\":{\"name\":\""
#define MARK_TAIL "\"}}"
#define CLEAR_HEAD "{\"event\":\"clear\",\"streamSid\":\""
#define CLEAR_TAIL "\"}"

/* The length of a name that can be printed as it is; 0 when it cannot. */
static size_t
plain_length(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	return len < size && is_plain(text, len) ? len : 0;
}

size_t
twilio_stream_media(char *out, size_t size, const char *stream_sid, const uint8_t *ulaw,
					size_t count)
{
	size_t sid_len = plain_length(stream_sid, TWILIO_SID_SIZE);
	char *to = out;

	if (sid_len == 0 || count > TWILIO_MAX_MESSAGE ||
		size < LENGTH(MEDIA_HEAD MEDIA_BODY MEDIA_TAIL) + sid_len + BASE64_LENGTH(count))
		return 0;
	to = PUT(to, MEDIA_HEAD);
	to = put(to, stream_sid, sid_len);
	to = PUT(to, MEDIA_BODY);
	to += base64_encode(ulaw, count, to);
	to = PUT(to, MEDIA_TAIL);
	return (size_t) (to - out);
}

size_t
twilio_stream_mark(char *out, size_t size, const char *stream_sid, const char *mark)
{
	size_t sid_len = plain_length(stream_sid, TWILIO_SID_SIZE);
	size_t mark_len = plain_length(mark, TWILIO_MARK_SIZE);
	char *to = out;

	if (sid_len == 0 || mark_len == 0 ||
		size < LENGTH(MARK_HEAD MARK_BODY MARK_TAIL) + sid_len + mark_len)
		return 0;
	to = PUT(to, MARK_HEAD);
	to = put(to, stream_sid, sid_len);
	to = PUT(to, MARK_BODY);
	to = put(to, mark, mark_len);
	to = PUT(to, MARK_TAIL);
	return (size_t) (to - out);
}

size_t
twilio_stream_clear(char *out, size_t size, const char *stream_sid)
{
	size_t sid_len = plain_length(stream_sid, TWILIO_SID_SIZE);
	char *to = out;

	if (sid_len == 0 || size < LENGTH(CLEAR_HEAD CLEAR_TAIL) + sid_len)
		return 0;
	to = PUT(to, CLEAR_HEAD);
	to = put(to, stream_sid, sid_len);
	to = PUT(to, CLEAR_TAIL);
	return (size_t) (to - out);
}
