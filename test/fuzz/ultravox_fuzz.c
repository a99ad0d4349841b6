/* ultravox: messages, replies and error pages of any bytes; what we print of them is JSON. */
#include "core/ultravox.h"

#include "core/json.h"
#include "core/utf8.h"
#include "fuzz.h"

static void
check_json(const struct buf *b)
{
	must(!b->overflow && json_check(b->data, b->len, NULL));
}

static void
check_printing(const char *text)
{
	size_t room = strlen(text) * 6 + 200;
	char *memory = malloc(room);
	struct buf b;

	buf_init(&b, memory, room);
	must(ultravox_user_text(&b, text, true));
	check_json(&b);
	buf_init(&b, memory, room);
	must(ultravox_agent_text(&b, text));
	check_json(&b);
	buf_init(&b, memory, room);
	must(ultravox_tool_result(&b, "i", text, NULL, false));
	check_json(&b);
	buf_init(&b, memory, room);
	must(ultravox_tool_result(&b, "i", "{}", text, true));
	check_json(&b);
	buf_init(&b, memory, room);
	must(ultravox_hang_up(&b, text));
	check_json(&b);
	free(memory);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	struct va_error err = {""};
	struct engine_event event;
	char url[64] = "";
	char id[16] = "";
	enum engine_event_type type = ultravox_parse(text, size, &event, &err);

	must(type == event.type && event.text_len == strlen(event.text));
	must(type != ENGINE_MALFORMED || err.text[0] != '\0');
	must(type != ENGINE_AUDIO && type != ENGINE_ENDED);
	if (type == ENGINE_TOOL_CALL)
		must(json_object_is_type(event.arguments, json_type_object) && event.tool_name[0] != '\0');
	engine_event_release(&event);

	err.text[0] = '\0';
	if (ultravox_create_reply(text, size, url, sizeof(url), id, sizeof(id), &err))
		must(strncmp(url, "ws", 2) == 0 && strpbrk(url, " \r\n") == NULL);
	else
		must(err.text[0] != '\0' && url[0] == '\0');

	ultravox_error_text(text, size, &err);
	must(err.text[0] != '\0' && strlen(err.text) < sizeof(err.text));
	must(utf8_valid(err.text, strlen(err.text)) && strpbrk(err.text, "\r\n\t") == NULL);

	char *copy = fuzz_text(data, size);

	check_printing(copy);
	free(copy);
	return 0;
}
