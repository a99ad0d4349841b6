/*
 * odoo_script.c: walks a script; see odoo_script.h.
 */
#include "core/odoo_script.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/odoo_private.h"

struct odoo_script
{
	struct json_object *steps; /* of the request */
	struct json_object *context; /* of the request, or NULL */
	struct json_object *values; /* name → what is bound */
	struct json_object *written; /* array of names of fields */
	struct json_object *warnings;
	size_t at; /* the step to come, or the one whose answer is awaited */
	bool waiting;
	bool failed;
	bool short_of_memory;
	/* Of the call under way. */
	struct json_object *ids;
	struct json_object *args;
	struct json_object *call_context;
	const char *method;
	/* Of a failure. */
	struct json_object *need;
	enum odoo_fault fault;
	char text[ODOO_TEXT_SIZE + 200];
};

struct odoo_script *
odoo_script_new(struct json_object *request, struct va_error *err)
{
	struct json_object *steps = json_member(request, "steps");
	struct odoo_script *s;

	if (!json_object_is_type(steps, json_type_array) ||
		json_object_array_length(steps) > ODOO_SCRIPT_MAX_STEPS)
	{
		va_fail(err, "a script needs steps, at most %d", ODOO_SCRIPT_MAX_STEPS);
		return NULL;
	}
	for (size_t i = 0; i < json_object_array_length(steps); i++)
		if (!json_object_is_type(json_object_array_get_idx(steps, i), json_type_object))
		{
			va_fail(err, "step %zu of the script is no object", i + 1);
			return NULL;
		}
	s = calloc(1, sizeof(*s));
	if (s != NULL)
	{
		s->steps = steps;
		s->context = json_member(request, "context");
		s->values = json_object_new_object();
		s->written = json_object_new_array();
		s->warnings = json_object_new_array();
		if (s->values != NULL && s->written != NULL && s->warnings != NULL)
			return s;
	}
	odoo_script_free(s);
	va_fail(err, "out of memory");
	return NULL;
}

static void
forget_call(struct odoo_script *s)
{
	json_object_put(s->ids);
	json_object_put(s->args);
	json_object_put(s->call_context);
	s->ids = s->args = s->call_context = NULL;
}

void
odoo_script_free(struct odoo_script *s)
{
	if (s == NULL)
		return;
	forget_call(s);
	json_object_put(s->values);
	json_object_put(s->written);
	json_object_put(s->warnings);
	free(s);
}

/* ---- names and references ----------------------------------------------------------------------- */

void
odoo_script_bind(struct odoo_script *s, const char *name, struct json_object *value)
{
	odoo_add(&s->short_of_memory, s->values, name, json_object_get(value));
}

/* What a name is bound to: "row", or "row.stage_id" for a member of it. */
static struct json_object *
bound(const struct odoo_script *s, const char *name)
{
	struct json_object *value = s->values;
	char part[100];

	while (name != NULL && value != NULL)
	{
		size_t len = strcspn(name, ".");

		if (len >= sizeof(part))
			return NULL;
		memcpy(part, name, len);
		part[len] = '\0';
		value = json_member(value, part);
		name = name[len] == '.' ? name + len + 1 : NULL;
	}
	return value;
}

/* false is how Odoo says that there is nothing. */
static bool
is_something(struct json_object *value)
{
	return value != NULL &&
		   !(json_object_is_type(value, json_type_boolean) && !json_object_get_boolean(value));
}

static const char *
reference_of(struct json_object *value)
{
	return json_object_is_type(value, json_type_object) && json_object_object_length(value) == 1
			   ? json_text(value, "$", NULL)
			   : NULL;
}

static struct json_object *resolve(struct odoo_script *s, struct json_object *value, bool *nothing);

/* A list loses what came to nothing. One that holds something else besides, ["id", "=", x] or
 * [4, x], would mean another thing without it, and so is nothing itself. */
static struct json_object *
resolve_list(struct odoo_script *s, struct json_object *list, bool *nothing)
{
	struct json_object *copy = json_object_new_array();
	bool lost = false;
	bool other = false;

	for (size_t i = 0; i < json_object_array_length(list); i++)
	{
		struct json_object *item = json_object_array_get_idx(list, i);
		struct json_object *resolved;
		bool none;

		other =
			other || !(reference_of(item) != NULL || json_object_is_type(item, json_type_array));
		resolved = resolve(s, item, &none);
		lost = lost || (none && reference_of(item) != NULL);
		if (none)
			json_object_put(resolved);
		else
			odoo_append(&s->short_of_memory, copy, resolved);
	}
	*nothing = lost && other;
	return copy;
}

/* A copy with references resolved. *nothing: it was one to a name that is bound to nothing. */
static struct json_object *
resolve(struct odoo_script *s, struct json_object *value, bool *nothing)
{
	const char *name = reference_of(value);
	struct json_object *copy;

	*nothing = false;
	if (name != NULL)
	{
		copy = json_object_get(bound(s, name));
		*nothing = !is_something(copy);
		return copy;
	}
	if (json_object_is_type(value, json_type_array))
		return resolve_list(s, value, nothing);
	if (!json_object_is_type(value, json_type_object))
		return json_object_get(value);
	copy = json_object_new_object();
	json_object_object_foreach(value, key, member)
	{
		bool none;
		struct json_object *item = resolve(s, member, &none);

		if (none)
			json_object_put(item);
		else
			odoo_add(&s->short_of_memory, copy, key, item);
	}
	return copy;
}

/* ---- rows and their base ------------------------------------------------------------------------ */

bool
odoo_same_value(struct json_object *a, struct json_object *b)
{
	struct json_object *pair[2] = {a, b};

	for (int i = 0; i < 2; i++)
	{
		struct json_object *v = pair[i];

		if (json_object_is_type(v, json_type_array) && json_object_array_length(v) == 2 &&
			json_object_is_type(json_object_array_get_idx(v, 0), json_type_int) &&
			json_object_is_type(json_object_array_get_idx(v, 1), json_type_string))
			pair[i] = json_object_array_get_idx(v, 0);
		if (!is_something(pair[i]))
			pair[i] = NULL;
	}
	if (pair[0] == NULL || pair[1] == NULL)
		return pair[0] == pair[1];
	if ((json_object_is_type(pair[0], json_type_int) ||
		 json_object_is_type(pair[0], json_type_double)) &&
		(json_object_is_type(pair[1], json_type_int) ||
		 json_object_is_type(pair[1], json_type_double)))
		return fabs(json_object_get_double(pair[0]) - json_object_get_double(pair[1])) < 1e-9;
	return json_object_equal(pair[0], pair[1]) == 1;
}

/* Has this field of the row still the value of the base? What either does not know has not changed. */
static bool
is_unchanged(const struct odoo_script *s, struct json_object *against, const char *field)
{
	struct json_object *row = bound(s, json_text(against, "as", ""));
	struct json_object *base = json_member(against, "base");

	if (row == NULL || !json_object_object_get_ex(base, field, NULL) ||
		!json_object_object_get_ex(row, field, NULL))
		return true;
	return odoo_same_value(json_member(row, field), json_member(base, field));
}

static bool
is_whole_row_unchanged(const struct odoo_script *s, struct json_object *against)
{
	struct json_object *base = json_member(against, "base");

	if (!json_object_is_type(base, json_type_object))
		return true;
	json_object_object_foreach(base, field, value)
	{
		(void) value;
		if (!is_unchanged(s, against, field))
			return false;
	}
	return true;
}

/* Takes out of vals what somebody else has changed; false when nothing remains to be written. */
static bool
keep_changes(struct odoo_script *s, struct json_object *against, struct json_object *vals)
{
	struct json_object_iterator at;
	struct json_object_iterator end;

	if (!json_object_is_type(vals, json_type_object))
		return true;
	at = json_object_iter_begin(vals);
	end = json_object_iter_end(vals);
	while (!json_object_iter_equal(&at, &end))
	{
		const char *field = json_object_iter_peek_name(&at);

		if (is_unchanged(s, against, field))
		{
			json_object_iter_next(&at);
			continue;
		}
		json_object_object_del(vals, field);
		at = json_object_iter_begin(vals); /* the deleted entry may have been the iterator's next */
	}
	return json_object_object_length(vals) > 0;
}

/* ---- steps -------------------------------------------------------------------------------------- */

static bool
applies(const struct odoo_script *s, struct json_object *step)
{
	const char *wanted = json_text(step, "if", NULL);
	const char *unwanted = json_text(step, "unless", NULL);

	return (wanted == NULL || is_something(bound(s, wanted))) &&
		   (unwanted == NULL || !is_something(bound(s, unwanted))) &&
		   is_whole_row_unchanged(s, json_member(step, "same"));
}

/* The step's call with everything resolved; false when there is nothing left to do in it. */
static bool
prepare(struct odoo_script *s, struct json_object *step, struct odoo_call *call)
{
	struct json_object *template = json_member(step, "call");
	struct json_object *own = json_member(template, "context");
	bool nothing;

	s->ids = resolve(s, json_member(template, "ids"), &nothing);
	s->args = resolve(s, json_member(template, "args"), &nothing);
	if (own != NULL || s->context != NULL)
		s->call_context = json_object_new_object();
	for (int i = 0; i < 2; i++)
	{
		struct json_object *from = i == 0 ? s->context : own;

		if (!json_object_is_type(from, json_type_object))
			continue;
		json_object_object_foreach(from, key, value)
		{
			odoo_add(&s->short_of_memory, s->call_context, key, json_object_get(value));
		}
	}
	*call = (struct odoo_call){
		.model = json_text(template, "model", ""),
		.method = json_text(template, "method", ""),
		.ids = s->ids,
		.args = s->args,
		.context = s->call_context,
	};
	s->method = call->method;
	/* Ids that came to nothing would make it a call on no record at all. */
	if (s->ids != NULL && json_object_is_type(s->ids, json_type_array) &&
		json_object_array_length(s->ids) == 0)
		return false;
	return keep_changes(s, json_member(step, "keep"), json_member(s->args, "vals"));
}

static struct json_object *
current(const struct odoo_script *s)
{
	return json_object_array_get_idx(s->steps, s->at);
}

static void
fail(struct odoo_script *s, enum odoo_fault fault, const char *words)
{
	s->failed = true;
	s->fault = fault;
	snprintf(s->text, sizeof(s->text), "%s%s%s", odoo_fault_meaning(fault),
			 words[0] != '\0' ? ": " : "", words);
}

/* What a step gives: binds it, and sees whether the script needs it. */
static void
conclude(struct odoo_script *s, struct json_object *step, struct json_object *value)
{
	const char *name = json_text(step, "as", NULL);
	struct json_object *need = json_member(step, "need");

	if (name != NULL)
		odoo_script_bind(s, name, is_something(value) ? value : NULL);
	if (need != NULL && !is_something(value))
	{
		s->failed = true;
		s->need = need;
	}
}

enum odoo_next
odoo_script_next(struct odoo_script *s, struct odoo_call *call)
{
	forget_call(s);
	for (; s->at < json_object_array_length(s->steps) && !s->failed; s->at++)
	{
		struct json_object *step = current(s);
		struct json_object *value;
		bool nothing;

		if (s->short_of_memory)
			fail(s, ODOO_SERVER, "out of memory here");
		if (s->failed || !applies(s, step))
			continue;
		if (json_member(step, "call") == NULL)
		{
			value = resolve(s, json_member(step, "value"), &nothing);
			conclude(s, step, value);
			json_object_put(value);
			continue;
		}
		if (prepare(s, step, call))
		{
			s->waiting = true;
			return ODOO_NEXT_CALL;
		}
		forget_call(s);
	}
	return s->failed ? ODOO_NEXT_FAILED : ODOO_NEXT_DONE;
}

bool
odoo_script_writes(const struct odoo_script *s)
{
	static const char *const reading[] = {"search",		 "search_read", "search_count",
										  "read",		 "fields_get",	"name_search",
										  "context_get", "has_access",	"check_access_rights"};

	for (size_t i = 0; i < sizeof(reading) / sizeof(reading[0]); i++)
		if (strcmp(s->method, reading[i]) == 0)
			return false;
	return true;
}

/* ---- answers ------------------------------------------------------------------------------------ */

/* The id in an answer, whatever shape it has: 7, [7], [{"id": 7}], {"ids": [7]}, {"id": 7}. */
static struct json_object *
id_of(struct json_object *value, int depth)
{
	if (json_object_is_type(value, json_type_int) || depth > 3)
		return json_object_is_type(value, json_type_int) ? value : NULL;
	if (json_object_is_type(value, json_type_array))
		return json_object_array_length(value) > 0
				   ? id_of(json_object_array_get_idx(value, 0), depth + 1)
				   : NULL;
	if (json_member(value, "ids") != NULL)
		return id_of(json_member(value, "ids"), depth + 1);
	return id_of(json_member(value, "id"), depth + 1);
}

static struct json_object *
taken(struct json_object *step, struct json_object *value)
{
	const char *take = json_text(step, "take", "value");

	if (strcmp(take, "id") == 0)
		return value != NULL ? id_of(value, 0) : NULL;
	if (strcmp(take, "row") == 0 && json_object_is_type(value, json_type_array))
		return json_object_array_length(value) > 0 ? json_object_array_get_idx(value, 0) : NULL;
	return value;
}

static bool
is_soft(struct json_object *step, enum odoo_fault fault)
{
	struct json_object *soft = json_member(step, "soft");

	if (json_object_is_type(soft, json_type_boolean))
		return json_object_get_boolean(soft);
	for (size_t i = 0;
		 json_object_is_type(soft, json_type_array) && i < json_object_array_length(soft); i++)
	{
		const char *name = json_object_get_string(json_object_array_get_idx(soft, i));

		if (name != NULL && strcmp(name, odoo_fault_name(fault)) == 0)
			return true;
	}
	return false;
}

static void
warn(struct odoo_script *s, struct json_object *step, enum odoo_fault fault, const char *words)
{
	struct json_object *warning = json_object_new_object();

	odoo_add(&s->short_of_memory, warning, "as", json_object_new_string(json_text(step, "as", "")));
	odoo_add(&s->short_of_memory, warning, "code", json_object_new_string(odoo_fault_name(fault)));
	odoo_add(&s->short_of_memory, warning, "text", json_object_new_string(words));
	odoo_append(&s->short_of_memory, s->warnings, warning);
}

static void
note_written(struct odoo_script *s, struct json_object *step)
{
	struct json_object *vals = json_member(s->args, "vals");
	struct json_object *more = json_member(step, "writes");

	if (json_object_is_type(vals, json_type_object))
	{
		json_object_object_foreach(vals, field, value)
		{
			(void) value;
			odoo_append(&s->short_of_memory, s->written, json_object_new_string(field));
		}
	}
	for (size_t i = 0;
		 json_object_is_type(more, json_type_array) && i < json_object_array_length(more); i++)
		odoo_append(&s->short_of_memory, s->written,
					json_object_get(json_object_array_get_idx(more, i)));
}

/* `load` says with status 200 that it did nothing: the words, or NULL when it did. */
static const char *
load_failure(const struct odoo_script *s, struct json_object *value)
{
	struct json_object *messages = json_member(value, "messages");

	if (strcmp(s->method, "load") != 0 || is_something(json_member(value, "ids")))
		return NULL;
	return json_object_is_type(messages, json_type_array) && json_object_array_length(messages) > 0
			   ? json_text(json_object_array_get_idx(messages, 0), "message", "")
			   : "nothing was stored, and no reason given";
}

void
odoo_script_answer(struct odoo_script *s, const struct odoo_answer *answer)
{
	struct json_object *step = current(s);
	enum odoo_fault fault = answer->fault;
	const char *words = answer->text;
	const char *loaded;

	if (!s->waiting)
		return;
	s->waiting = false;
	s->at++;
	loaded = fault == ODOO_OK ? load_failure(s, answer->value) : NULL;
	if (loaded != NULL)
	{
		fault = ODOO_VALIDATION;
		words = loaded;
	}
	if (fault == ODOO_OK)
	{
		note_written(s, step);
		conclude(s, step, taken(step, answer->value));
	}
	else if (is_soft(step, fault))
	{
		warn(s, step, fault, words);
		conclude(s, step, NULL);
	}
	else
		fail(s, fault, words);
}

void
odoo_script_failure(const struct odoo_script *s, struct odoo_failure *failure)
{
	if (s->need != NULL)
		*failure = (struct odoo_failure){ODOO_OK, json_text(s->need, "code", "missing"),
										 json_text(s->need, "text", "something is missing in Odoo"),
										 json_text(s->need, "hint", "")};
	else
		*failure = (struct odoo_failure){s->fault, odoo_fault_name(s->fault), s->text,
										 odoo_fault_hint(s->fault)};
}

struct json_object *
odoo_script_result(const struct odoo_script *s)
{
	struct json_object *result = json_object_new_object();
	bool failed = result == NULL;

	odoo_add(&failed, result, "values", json_object_get(s->values));
	odoo_add(&failed, result, "written", json_object_get(s->written));
	odoo_add(&failed, result, "warnings", json_object_get(s->warnings));
	if (failed)
	{
		json_object_put(result);
		return NULL;
	}
	return result;
}
