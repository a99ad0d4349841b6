/*
 * scenario.h: what a caller does and what the agent answers, as a JSON file.
 *
 * One file serves both sides: the caller follows the steps, the engine the rules. docs/scenarios.md
 * describes every member. Files are checked when they are loaded; an error names the file and the
 * place in it.
 */
#ifndef VA_SANDBOX_SCENARIO_H
#define VA_SANDBOX_SCENARIO_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#define SCENARIO_MAX_TOOLS 4

enum step_kind
{
	STEP_SAY,
	STEP_PRESS,
	STEP_SILENCE,
	STEP_LISTEN,
	STEP_HANG_UP
};

enum step_when
{
	WHEN_AGENT_DONE, /* the agent has spoken and is silent */
	WHEN_AFTER, /* ms after the step before, whoever speaks */
	WHEN_INTERRUPT /* ms after the agent has begun to speak */
};

struct scenario_step
{
	enum step_kind kind;
	enum step_when when;
	unsigned ms; /* of when; of STEP_SILENCE its length */
	const char *text; /* the sentence, or the keys */
	unsigned hang_up_after_ms; /* STEP_SAY: hang up so long into the sentence; 0 = do not */
};

struct scenario_tool
{
	const char *name;
	struct json_object *arguments;
};

struct scenario_rule
{
	const char *hears; /* the sentence, or part of a text message; NULL when keys is set */
	const char *keys; /* keys pressed since the last answer */
	const char *says; /* before the tools; NULL = nothing */
	struct scenario_tool tools[SCENARIO_MAX_TOOLS];
	size_t tool_count;
	const char *then; /* said after the tools; NULL = nothing */
	bool end; /* the engine hangs up afterwards */
};

struct scenario
{
	struct json_object *document; /* owns all texts */
	const char *name;
	const char *description;
	const char *caller_voice;
	const char *caller_number;
	const char *voicemail; /* said after a beep; NULL = hang up there */
	const char *agent_voice;
	const char *greeting; /* "" = the caller speaks first */
	const char *otherwise;
	struct scenario_step *steps;
	size_t step_count;
	struct scenario_rule *rules;
	size_t rule_count;
	const char *ended_by; /* "agent", "caller" or "any" */
	unsigned max_s; /* the caller gives up then */
	bool expect_stream; /* the call must have reached a voice engine */
};

struct scenario_set
{
	struct scenario **items;
	size_t count;
};

/* NULL with "file: place: problem". */
struct scenario *scenario_load(const char *path, char *error, size_t size);
struct scenario *scenario_parse(const char *file, const char *text, size_t len, char *error,
								size_t size);
void scenario_free(struct scenario *s);

/* All *.json of a folder. false with the first error; also when there is none. */
bool scenario_set_load(struct scenario_set *set, const char *dir, char *error, size_t size);
void scenario_set_free(struct scenario_set *set);
const struct scenario *scenario_find(const struct scenario_set *set, const char *name);

/* The folder to use when none is given: $VOICEAGENT_SCENARIOS, else what belongs to this
 * program's place (a checkout or an installation), else src/sandbox/scenarios. */
void scenario_default_dir(char *out, size_t size);
/* Likewise the folder of prepared speech ($VOICEAGENT_SPEECH); false when there is none. */
bool scenario_default_speech(char *out, size_t size);

#endif
