/* twilio_stream: the fast and the general path understand every text alike; audio fits. */
#include "core/twilio_stream.h"

#include "core/twilio_stream_slow.h"
#include "fuzz.h"

static void
check_same(const struct twilio_message *a, const struct twilio_message *b)
{
	must(a->event == b->event);
	must(a->payload_len == b->payload_len);
	must(a->payload_len == 0 || memcmp(a->payload, b->payload, a->payload_len) == 0);
	must(a->timestamp_ms == b->timestamp_ms && a->outbound_track == b->outbound_track);
	must(strcmp(a->stream_sid, b->stream_sid) == 0 && strcmp(a->call_sid, b->call_sid) == 0);
	must(strcmp(a->account_sid, b->account_sid) == 0 && strcmp(a->token, b->token) == 0);
	must(a->is_ulaw_8k_mono == b->is_ulaw_8k_mono && a->digit == b->digit);
	must(strcmp(a->mark, b->mark) == 0);
}

/* What is decoded can be printed, and read again. */
static void
check_audio(const struct twilio_message *message)
{
	size_t room = message->payload_len / 4 * 3 + 3;
	uint8_t *ulaw = malloc(room);
	ssize_t count = twilio_stream_audio(message, ulaw, room);

	if (count >= 0)
	{
		size_t size = TWILIO_MEDIA_BOUND((size_t) count);
		char *out = malloc(size);
		uint8_t *back = malloc(room);
		struct twilio_message again;
		size_t len = twilio_stream_media(out, size, "MZ1", ulaw, (size_t) count);

		must(len > 0);
		if (len <= TWILIO_MAX_MESSAGE)
		{
			must(twilio_stream_parse(out, len, &again, NULL) == TWILIO_MEDIA);
			must(twilio_stream_audio(&again, back, (size_t) count) == count);
			must(memcmp(ulaw, back, (size_t) count) == 0);
		}
		free(out);
		free(back);
	}
	free(ulaw);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	struct va_error err = {""};
	struct twilio_message message;
	struct twilio_message slow;
	enum twilio_event event = twilio_stream_parse(text, size, &message, &err);

	must(event == message.event);
	must(event != TWILIO_MALFORMED || err.text[0] != '\0');
	if (size <= TWILIO_MAX_MESSAGE)
	{
		twilio_stream_parse_slow(text, size, &slow, NULL);
		check_same(&message, &slow);
	}
	if (event == TWILIO_MEDIA)
	{
		must(message.payload >= text && message.payload + message.payload_len <= text + size);
		check_audio(&message);
	}
	if (event == TWILIO_START)
	{
		char out[256];

		must(twilio_stream_clear(out, sizeof(out), message.stream_sid) > 0);
	}
	if (event == TWILIO_MARK)
	{
		char out[256];
		size_t len = twilio_stream_mark(out, sizeof(out), "MZ1", message.mark);

		must(len > 0 && twilio_stream_parse(out, len, &slow, NULL) == TWILIO_MARK);
		must(strcmp(message.mark, slow.mark) == 0);
	}
	return 0;
}
