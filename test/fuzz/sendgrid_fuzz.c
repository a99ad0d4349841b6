/* sendgrid, google_calendar: events that come out have an id, a name and a time, and texts that are not long; replies. */
#include "core/sendgrid.h"

#include "core/google_calendar.h"
#include "core/json.h"
#include "fuzz.h"

static void
check_event(struct json_object *event)
{
	int64_t at;

	must(json_text(event, "event_id", "")[0] != '\0');
	must(json_text(event, "event", "")[0] != '\0');
	must(json_integer(event, "at", &at) && at >= 0);
	json_object_object_foreach(event, name, value)
	{
		must(name[0] != '\0');
		if (json_object_is_type(value, json_type_string))
			must(json_object_get_string_len(value) <= 500);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct va_error err = {""};
	size_t skipped;
	char *text = fuzz_text(data, size);
	struct json_object *events = sendgrid_read_events(text, size, &skipped, &err);
	char token[64], reason[20], message[30];
	int64_t lasts;

	for (size_t i = 0; events != NULL && i < json_object_array_length(events); i++)
		check_event(json_object_array_get_idx(events, i));
	must(events != NULL || err.text[0] != '\0');
	json_object_put(events);
	sendgrid_read_error(text, size, message, sizeof(message));
	must(strlen(message) < sizeof(message));
	google_read_error(text, size, reason, sizeof(reason), message, sizeof(message));
	if (google_read_token(text, size, token, sizeof(token), &lasts))
		must(token[0] != '\0' && strpbrk(token, "\r\n ") == NULL);
	sendgrid_verify(text, "1", text, size, text);
	free(text);
	return 0;
}
