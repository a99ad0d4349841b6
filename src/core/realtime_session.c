/*
 * realtime_session.c: session.create, the first message of the generic realtime dialect.
 *
 * The dialect knows a model, a voice, a prompt and tools. A greeting and what was
 * said before a lost connection have no member of their own, so they are told in the prompt.
 */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/realtime.h"

/* Text that grows; `failed` once memory was short. */
struct text
{
	char *data;
	size_t len;
	size_t size;
	bool failed;
};

static void
text_add(struct text *t, const char *more)
{
	size_t len = strlen(more);

	if (t->failed)
		return;
	if (len >= t->size - t->len)
	{
		size_t size = (t->len + len + 1) * 2;
		char *data = realloc(t->data, size);

		if (data == NULL)
		{
			t->failed = true;
			return;
		}
		t->data = data;
		t->size = size;
	}
	memcpy(t->data + t->len, more, len + 1);
	t->len += len;
}

static void
add_history(struct text *prompt, struct json_object *history)
{
	size_t turns = json_object_array_length(history);

	if (turns == 0)
		return;
	text_add(prompt, "\n\nThe conversation was interrupted and goes on now. So far:\n");
	for (size_t i = 0; i < turns; i++)
	{
		struct json_object *turn = json_object_array_get_idx(history, i);
		bool is_user = strcmp(json_text(turn, "role", ""), "user") == 0;

		text_add(prompt, is_user ? "Caller: " : "You: ");
		text_add(prompt, json_text(turn, "text", ""));
		text_add(prompt, "\n");
	}
}

/* The whole prompt; NULL when memory was short. To be freed. */
static char *
make_prompt(const struct voice_session *session)
{
	struct text prompt = {.data = NULL};

	text_add(&prompt, session->system_prompt);
	add_history(&prompt, session->history);
	if (session->greeting[0] != '\0')
	{
		text_add(&prompt, "\n\nSpeak first. Your first words are: ");
		text_add(&prompt, session->greeting);
	}
	if (prompt.failed)
	{
		free(prompt.data);
		return NULL;
	}
	return prompt.data;
}

/* The session's tools without the members that are the gateway's own business. */
static struct json_object *
make_tools(struct json_object *tools)
{
	static const char *const members[] = {"name", "description", "parameters"};
	struct json_object *list = json_object_new_array();
	size_t count = json_object_array_length(tools);

	for (size_t i = 0; list != NULL && i < count; i++)
	{
		struct json_object *tool = json_object_array_get_idx(tools, i);
		struct json_object *item = json_object_new_object();

		for (size_t m = 0; item != NULL && m < sizeof(members) / sizeof(members[0]); m++)
			if (json_member(tool, members[m]) != NULL)
				json_object_object_add(item, members[m],
									   json_object_get(json_member(tool, members[m])));
		json_object_array_add(list, item);
	}
	return list;
}

/* What the tenant sets by hand wins; null takes a member of ours away. */
static void
merge_settings(struct json_object *message, struct json_object *settings)
{
	json_object_object_foreach(settings, key, value)
	{
		if (strcmp(key, "type") == 0)
			continue;
		if (value == NULL)
			json_object_object_del(message, key);
		else
			json_object_object_add(message, key, json_object_get(value));
	}
}

struct json_object *
realtime_session_create(const struct voice_session *session)
{
	struct json_object *message = json_object_new_object();
	char *prompt = make_prompt(session);

	if (message == NULL || prompt == NULL)
	{
		json_object_put(message);
		free(prompt);
		return NULL;
	}
	json_object_object_add(message, "type", json_object_new_string("session.create"));
	if (session->model[0] != '\0')
		json_object_object_add(message, "model", json_object_new_string(session->model));
	if (session->voice[0] != '\0')
		json_object_object_add(message, "voice", json_object_new_string(session->voice));
	json_object_object_add(message, "system_prompt", json_object_new_string(prompt));
	json_object_object_add(message, "tools", make_tools(session->tools));
	merge_settings(message, session->engine_settings);
	free(prompt);
	return message;
}
