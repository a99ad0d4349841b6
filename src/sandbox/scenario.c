/*
 * scenario.c: reads and checks scenario files.
 *
 * Every member is either known or an error: a misspelt member that is silently ignored is the
 * classic way to a test that tests nothing.
 */
#include "sandbox/scenario.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/json_text.h"

#define MAX_FILE (1024 * 1024)
#define DEFAULT_MAX_S 180

/* Where the reader is, for its error texts; ok turns false at the first problem. */
struct reader
{
	const char *file;
	char *error;
	size_t size;
	bool ok;
};

static void problem(struct reader *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void
problem(struct reader *r, const char *format, ...)
{
	char text[384];
	va_list args;

	if (!r->ok)
		return;
	r->ok = false;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(r->error, r->size, "%s: %s", r->file, text);
}

/* Members of object must be among the names (NULL ends the list). */
static void
check_members(struct reader *r, const char *place, struct json_object *object,
			  const char *const *names)
{
	json_object_object_foreach(object, key, value)
	{
		size_t i = 0;

		(void) value;
		while (names[i] && strcmp(names[i], key) != 0)
			i++;
		if (!names[i])
			problem(r, "%s: unknown member \"%s\"", place, key);
	}
}

static const char *
get_text(struct reader *r, const char *place, struct json_object *object, const char *name,
		 const char *otherwise)
{
	struct json_object *member = NULL;

	if (!json_object_object_get_ex(object, name, &member))
		return otherwise;
	if (json_object_is_type(member, json_type_string))
		return json_object_get_string(member);
	problem(r, "%s: \"%s\" must be a text", place, name);
	return otherwise;
}

/* A whole number from least to most; otherwise when absent. */
static unsigned
get_number(struct reader *r, const char *place, struct json_object *object, const char *name,
		   unsigned least, unsigned most, unsigned otherwise)
{
	struct json_object *member = NULL;
	int64_t v;

	if (!json_object_object_get_ex(object, name, &member))
		return otherwise;
	v = json_object_get_int64(member);
	if (json_object_is_type(member, json_type_int) && v >= least && v <= most)
		return (unsigned) v;
	problem(r, "%s: \"%s\" must be a whole number from %u to %u", place, name, least, most);
	return otherwise;
}

static bool
get_bool(struct reader *r, const char *place, struct json_object *object, const char *name,
		 bool otherwise)
{
	struct json_object *member = NULL;

	if (!json_object_object_get_ex(object, name, &member))
		return otherwise;
	if (json_object_is_type(member, json_type_boolean))
		return json_object_get_boolean(member);
	problem(r, "%s: \"%s\" must be true or false", place, name);
	return otherwise;
}

static struct json_object *
get_child(struct reader *r, const char *place, struct json_object *object, const char *name,
		  enum json_type type)
{
	struct json_object *member = NULL;

	if (!json_object_object_get_ex(object, name, &member))
		return NULL;
	if (json_object_is_type(member, type))
		return member;
	problem(r, "%s: \"%s\" must be %s", place, name,
			type == json_type_array ? "a list" : "an object");
	return NULL;
}

static bool
is_keys(const char *text)
{
	return text[0] && strspn(text, "0123456789*#") == strlen(text);
}

static void
read_step_when(struct reader *r, const char *place, struct json_object *o, struct scenario_step *s)
{
	bool after = json_object_object_get_ex(o, "after_ms", NULL);
	bool interrupt = json_object_object_get_ex(o, "interrupt_after_ms", NULL);

	if (after && interrupt)
		problem(r, "%s: \"after_ms\" and \"interrupt_after_ms\" exclude each other", place);
	s->when = after ? WHEN_AFTER : interrupt ? WHEN_INTERRUPT : WHEN_AGENT_DONE;
	s->ms = get_number(r, place, o, after ? "after_ms" : "interrupt_after_ms", 0, 600000, 0);
}

static void
read_step(struct reader *r, size_t index, struct json_object *o, struct scenario_step *s)
{
	static const char *const members[] = {"say",
										  "press",
										  "silence_ms",
										  "listen",
										  "hang_up",
										  "after_ms",
										  "interrupt_after_ms",
										  "note",
										  "hang_up_after_ms",
										  NULL};
	static const char *const kinds[] = {"say", "press", "silence_ms", "listen", "hang_up"};
	char place[48];
	unsigned found = 0;

	snprintf(place, sizeof(place), "steps[%zu]", index);
	if (!json_object_is_type(o, json_type_object))
	{
		problem(r, "%s: must be an object", place);
		return;
	}
	check_members(r, place, o, members);
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		if (json_object_object_get_ex(o, kinds[k], NULL))
		{
			s->kind = (enum step_kind) k;
			found++;
		}
	if (found != 1)
	{
		problem(r, "%s: needs exactly one of say, press, silence_ms, listen, hang_up", place);
		return;
	}
	read_step_when(r, place, o, s);
	if (s->kind == STEP_SILENCE)
		s->ms = get_number(r, place, o, "silence_ms", 1, 600000, 1);
	else if (s->kind == STEP_LISTEN || s->kind == STEP_HANG_UP)
	{
		if (!get_bool(r, place, o, kinds[s->kind], true))
			problem(r, "%s: \"%s\" can only be true", place, kinds[s->kind]);
	}
	else
		s->text = get_text(r, place, o, kinds[s->kind], "");
	if (s->kind == STEP_PRESS && !is_keys(s->text))
		problem(r, "%s: \"press\" must be keys out of 0-9 * #", place);
	if (s->kind == STEP_SAY && s->text[0] == '\0')
		problem(r, "%s: \"say\" is empty", place);
	s->hang_up_after_ms = get_number(r, place, o, "hang_up_after_ms", 100, 60000, 0);
	if (s->hang_up_after_ms && s->kind != STEP_SAY)
		problem(r, "%s: \"hang_up_after_ms\" goes with \"say\" only", place);
}

static void
read_tools(struct reader *r, const char *place, struct json_object *list,
		   struct scenario_rule *rule)
{
	static const char *const members[] = {"name", "arguments", NULL};
	size_t count = json_object_array_length(list);

	if (count > SCENARIO_MAX_TOOLS)
		problem(r, "%s: more than %d tools", place, SCENARIO_MAX_TOOLS);
	for (size_t i = 0; r->ok && i < count; i++)
	{
		struct json_object *o = json_object_array_get_idx(list, i);
		struct scenario_tool *tool = &rule->tools[rule->tool_count++];

		if (!json_object_is_type(o, json_type_object))
		{
			problem(r, "%s: tools[%zu] must be an object", place, i);
			return;
		}
		check_members(r, place, o, members);
		tool->name = get_text(r, place, o, "name", "");
		tool->arguments = get_child(r, place, o, "arguments", json_type_object);
		if (tool->name[0] == '\0')
			problem(r, "%s: tools[%zu] has no name", place, i);
	}
}

static void
read_rule(struct reader *r, size_t index, struct json_object *o, struct scenario_rule *rule)
{
	static const char *const members[] = {"hears", "keys", "says", "tools",
										  "then",  "end",  "note", NULL};
	struct json_object *tools;
	char place[48];

	snprintf(place, sizeof(place), "rules[%zu]", index);
	if (!json_object_is_type(o, json_type_object))
	{
		problem(r, "%s: must be an object", place);
		return;
	}
	check_members(r, place, o, members);
	rule->hears = get_text(r, place, o, "hears", NULL);
	rule->keys = get_text(r, place, o, "keys", NULL);
	rule->says = get_text(r, place, o, "says", NULL);
	rule->then = get_text(r, place, o, "then", NULL);
	rule->end = get_bool(r, place, o, "end", false);
	tools = get_child(r, place, o, "tools", json_type_array);
	if (tools)
		read_tools(r, place, tools, rule);
	if (!rule->hears == !rule->keys)
		problem(r, "%s: needs \"hears\" or \"keys\", not both", place);
	if (rule->keys && !is_keys(rule->keys))
		problem(r, "%s: \"keys\" must be out of 0-9 * #", place);
	if (!rule->says && !rule->then && rule->tool_count == 0 && !rule->end)
		problem(r, "%s: says nothing and does nothing", place);
}

static void
read_people(struct reader *r, struct scenario *s)
{
	static const char *const caller[] = {"voice", "number", "voicemail", NULL};
	static const char *const agent[] = {"voice", "greeting", "otherwise", NULL};
	static const char *const expect[] = {"ended_by", "max_s", "stream", NULL};
	struct json_object *o;

	s->caller_voice = "en-us+m3";
	s->caller_number = "+15550100001";
	s->agent_voice = "en-us+f3";
	s->greeting = "";
	s->otherwise = "I'm sorry, I did not catch that. Could you say it again?";
	s->ended_by = "any";
	s->max_s = DEFAULT_MAX_S;
	s->expect_stream = true;
	if ((o = get_child(r, "caller", s->document, "caller", json_type_object)))
	{
		check_members(r, "caller", o, caller);
		s->caller_voice = get_text(r, "caller", o, "voice", s->caller_voice);
		s->caller_number = get_text(r, "caller", o, "number", s->caller_number);
		s->voicemail = get_text(r, "caller", o, "voicemail", NULL);
	}
	if ((o = get_child(r, "agent", s->document, "agent", json_type_object)))
	{
		check_members(r, "agent", o, agent);
		s->agent_voice = get_text(r, "agent", o, "voice", s->agent_voice);
		s->greeting = get_text(r, "agent", o, "greeting", s->greeting);
		s->otherwise = get_text(r, "agent", o, "otherwise", s->otherwise);
	}
	if ((o = get_child(r, "expect", s->document, "expect", json_type_object)))
	{
		check_members(r, "expect", o, expect);
		s->ended_by = get_text(r, "expect", o, "ended_by", s->ended_by);
		s->max_s = get_number(r, "expect", o, "max_s", 5, 3600, s->max_s);
		s->expect_stream = get_bool(r, "expect", o, "stream", true);
	}
	if (strcmp(s->caller_voice, s->agent_voice) == 0)
		problem(r, "caller and agent have the same voice");
	if (strcmp(s->ended_by, "agent") != 0 && strcmp(s->ended_by, "caller") != 0 &&
		strcmp(s->ended_by, "any") != 0)
		problem(r, "expect: \"ended_by\" must be agent, caller or any");
}

static void
read_lists(struct reader *r, struct scenario *s)
{
	struct json_object *steps = get_child(r, "scenario", s->document, "steps", json_type_array);
	struct json_object *rules = get_child(r, "scenario", s->document, "rules", json_type_array);

	if (!steps)
		problem(r, "has no \"steps\"");
	s->step_count = steps ? json_object_array_length(steps) : 0;
	s->rule_count = rules ? json_object_array_length(rules) : 0;
	s->steps = calloc(s->step_count + 1, sizeof(*s->steps));
	s->rules = calloc(s->rule_count + 1, sizeof(*s->rules));
	if (!s->steps || !s->rules)
		problem(r, "out of memory");
	for (size_t i = 0; r->ok && i < s->step_count; i++)
		read_step(r, i, json_object_array_get_idx(steps, i), &s->steps[i]);
	for (size_t i = 0; r->ok && i < s->rule_count; i++)
		read_rule(r, i, json_object_array_get_idx(rules, i), &s->rules[i]);
}

struct scenario *
scenario_parse(const char *file, const char *text, size_t len, char *error, size_t size)
{
	static const char *const members[] = {"name",  "description", "caller", "agent",
										  "steps", "rules",		  "expect", NULL};
	struct reader r = {.file = file, .error = error, .size = size, .ok = true};
	struct scenario *s = calloc(1, sizeof(*s));
	char why[160];

	if (!s)
		return NULL;
	s->document = json_text_object(text, len, why, sizeof(why));
	if (!s->document)
		problem(&r, "%s", why);
	else
	{
		check_members(&r, "scenario", s->document, members);
		s->name = get_text(&r, "scenario", s->document, "name", "");
		s->description = get_text(&r, "scenario", s->document, "description", "");
		if (s->name[0] == '\0')
			problem(&r, "has no \"name\"");
		read_people(&r, s);
		read_lists(&r, s);
	}
	if (r.ok)
		return s;
	scenario_free(s);
	return NULL;
}

struct scenario *
scenario_load(const char *path, char *error, size_t size)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;
	FILE *f = fopen(path, "re");
	char *text = malloc(MAX_FILE + 1);
	struct scenario *s = NULL;
	size_t len;

	if (!f || !text)
		snprintf(error, size, "%s: cannot be opened", path);
	else
	{
		len = fread(text, 1, MAX_FILE + 1, f);
		if (len > MAX_FILE)
			snprintf(error, size, "%s: more than 1 MB", file);
		else
			s = scenario_parse(file, text, len, error, size);
	}
	if (f)
		fclose(f);
	free(text);
	return s;
}

void
scenario_free(struct scenario *s)
{
	if (!s)
		return;
	json_object_put(s->document);
	free(s->steps);
	free(s->rules);
	free(s);
}

static int
is_json(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

bool
scenario_set_load(struct scenario_set *set, const char *dir, char *error, size_t size)
{
	struct dirent **names = NULL;
	int count = scandir(dir, &names, is_json, alphasort);
	bool ok = count > 0;

	memset(set, 0, sizeof(*set));
	if (count <= 0)
		snprintf(error, size, "%s: no scenario files there", dir);
	else
		set->items = calloc((size_t) count, sizeof(*set->items));
	for (int i = 0; i < count; i++)
	{
		char path[4096];
		struct scenario *s = NULL;

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (ok && set->items)
			s = scenario_load(path, error, size);
		if (s)
			set->items[set->count++] = s;
		else
			ok = false;
		free(names[i]);
	}
	free(names);
	if (!ok)
		scenario_set_free(set);
	return ok;
}

void
scenario_set_free(struct scenario_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		scenario_free(set->items[i]);
	free(set->items);
	memset(set, 0, sizeof(*set));
}

const struct scenario *
scenario_find(const struct scenario_set *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++)
		if (strcmp(set->items[i]->name, name) == 0)
			return set->items[i];
	return NULL;
}

/* The folder of this program's file; "" when it cannot be told. */
static void
own_dir(char *out, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	out[len > 0 ? len : 0] = '\0';
	slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
}

static bool
find_beside(const char *const *places, size_t count, char *out, size_t size)
{
	char self[2048];
	const char *version;

	own_dir(self, sizeof(self));
	for (size_t i = 0; self[0] && i < count; i++)
	{
		snprintf(out, size, "%s%s", self, places[i]);
		if (access(out, R_OK) == 0)
			return true;
	}
	/* Debian: programs in lib/postgresql/15/bin, data in share/postgresql/15. */
	version = strstr(self, "/lib/postgresql/");
	if (version)
	{
		int prefix = (int) (version - self);
		int digits = (int) strspn(version + strlen("/lib/postgresql/"), "0123456789");

		snprintf(out, size, "%.*s/share/postgresql/%.*s/voiceagent/%s", prefix, self, digits,
				 version + strlen("/lib/postgresql/"), strrchr(places[0], '/') + 1);
		return access(out, R_OK) == 0;
	}
	return false;
}

void
scenario_default_dir(char *out, size_t size)
{
	static const char *const beside[] = {
		"/../src/sandbox/scenarios", "/../../src/sandbox/scenarios",
		"/../share/voiceagent/scenarios", "/../share/postgresql/voiceagent/scenarios"};
	const char *set = getenv("VOICEAGENT_SCENARIOS");

	if (set && set[0])
		snprintf(out, size, "%s", set);
	else if (!find_beside(beside, sizeof(beside) / sizeof(beside[0]), out, size))
		snprintf(out, size, "src/sandbox/scenarios");
}

bool
scenario_default_speech(char *out, size_t size)
{
	static const char *const beside[] = {"/speech", "/../speech", "/../share/voiceagent/speech",
										 "/../share/postgresql/voiceagent/speech"};
	const char *set = getenv("VOICEAGENT_SPEECH");

	if (!set || !set[0])
		return find_beside(beside, sizeof(beside) / sizeof(beside[0]), out, size);
	snprintf(out, size, "%s", set);
	return true;
}
