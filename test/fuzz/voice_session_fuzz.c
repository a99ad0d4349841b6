/* voice_session: what is taken keeps its promises, and both engines can make their request of it. */
#include "core/voice_session.h"

#include "core/json.h"
#include "core/realtime.h"
#include "core/ultravox.h"
#include "fuzz.h"

/* A request is JSON that a strict reader takes. */
static void
check_request(struct json_object *request)
{
	const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
	struct va_error err = {""};

	/* Ours may nest a few levels deeper than the session did. */
	if (!json_check(text, strlen(text), &err))
		must(strstr(err.text, "nested") != NULL);
	json_object_put(request);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct va_error err = {""};
	struct voice_session *s = voice_session_parse((const char *) data, size, &err);
	struct json_object *request;

	if (s == NULL)
	{
		must(err.text[0] != '\0');
		return 0;
	}
	must(s->call_id[0] != '\0' && s->tenant_id[0] != '\0' && s->base_url[0] != '\0');
	must(strcmp(s->engine, "ultravox") == 0 || strcmp(s->engine, "realtime") == 0);
	must(strpbrk(s->api_key, "\r\n") == NULL && strpbrk(s->base_url, "\r\n ") == NULL);
	must(s->temperature >= 0 && s->temperature <= 2);
	must(s->max_duration_s >= 1 && s->inactivity_s >= 0 && s->prepare_timeout_ms >= 100);
	must(json_object_is_type(s->tools, json_type_array));
	must(json_object_is_type(s->history, json_type_array));
	must(json_object_is_type(s->engine_settings, json_type_object));

	request = ultravox_create_body(s, &err);
	if (request != NULL)
	{
		must(json_member(json_member(request, "medium"), "serverWebSocket") != NULL);
		check_request(request);
	}
	else
		must(err.text[0] != '\0');
	request = realtime_session_create(s);
	must(request != NULL && strcmp(json_text(request, "type", ""), "session.create") == 0);
	check_request(request);
	voice_session_free(s);
	return 0;
}
