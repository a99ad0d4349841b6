/* realtime: the fast and the general path understand every text alike; what we print is JSON. */
#include "core/realtime.h"

#include "core/json.h"
#include "core/realtime_slow.h"
#include "fuzz.h"

static void
check_same(const struct engine_event *a, const struct engine_event *b)
{
	must(a->type == b->type);
	must(a->role == b->role && a->is_final == b->is_final && a->sample_rate == b->sample_rate);
	must(strcmp(a->text, b->text) == 0 && strcmp(a->tool_name, b->tool_name) == 0);
	must(strcmp(a->invocation_id, b->invocation_id) == 0);
	if (a->type == ENGINE_AUDIO)
		must(a->audio_base64_len == b->audio_base64_len &&
			 memcmp(a->audio_base64, b->audio_base64, a->audio_base64_len) == 0);
}

static void
check_printing(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	size_t room = size * 6 + 200;
	char *memory = malloc(room);
	struct buf b;

	buf_init(&b, memory, room);
	must(realtime_text_input(&b, text) && json_check(b.data, b.len, NULL));
	buf_init(&b, memory, room);
	must(realtime_interrupt(&b, text) && json_check(b.data, b.len, NULL));
	buf_init(&b, memory, room);
	if (realtime_tool_result(&b, "i", "n", text, NULL))
		must(json_check(b.data, b.len, NULL));
	buf_init(&b, memory, room);
	must(realtime_tool_result(&b, "", "n", text, text) && json_check(b.data, b.len, NULL));

	size_t count = size / 2;
	int16_t *pcm = malloc(count * sizeof(*pcm) + 1);
	char *audio = malloc(REALTIME_AUDIO_BOUND(count));

	memcpy(pcm, data, count * sizeof(*pcm));

	size_t len = realtime_audio_input(audio, REALTIME_AUDIO_BOUND(count), pcm, count);

	must(len > 0 && json_check(audio, len, NULL));
	free(pcm);
	free(audio);
	free(memory);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	struct va_error err = {""};
	struct engine_event event;
	struct engine_event slow;
	enum engine_event_type type = realtime_parse(text, size, &event, &err);

	must(type == event.type && event.text_len == strlen(event.text));
	must(type != ENGINE_MALFORMED || err.text[0] != '\0');
	if (type == ENGINE_TOOL_CALL)
		must(json_object_is_type(event.arguments, json_type_object) && event.tool_name[0] != '\0');
	if (size <= REALTIME_MAX_MESSAGE)
	{
		realtime_parse_slow(text, size, &slow, NULL);
		check_same(&event, &slow);
		engine_event_release(&slow);
	}
	engine_event_release(&event);
	if (size > 0)
		check_printing(data, size);
	return 0;
}
