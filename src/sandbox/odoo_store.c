/*
 * odoo_store.c: see odoo_store.h.
 */
#include "sandbox/odoo_store.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sandbox/json_text.h"

struct odoo_store
{
	struct ledger *ledger;
	struct json_object *models; /* name → array of records, deleted ones null */
	struct json_object *external; /* "model name" → id */
	struct json_object *lead_fields; /* name → {"type", "relation"} */
};

/* ---- records ------------------------------------------------------------------------------------ */

static struct json_object *
parse(const char *text)
{
	struct json_object *value = json_tokener_parse(text);

	if (value == NULL)
		abort(); /* a text of this file */
	return value;
}

struct odoo_store *
odoo_store_new(struct ledger *ledger)
{
	struct odoo_store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		abort();
	store->ledger = ledger;
	store->external = json_object_new_object();
	store->models = parse(
		"{\"crm.stage\":[{\"id\":1,\"name\":\"New\",\"is_won\":false},"
		"{\"id\":2,\"name\":\"Qualified\",\"is_won\":false},"
		"{\"id\":3,\"name\":\"Proposition\",\"is_won\":false},"
		"{\"id\":4,\"name\":\"Won\",\"is_won\":true}],"
		"\"res.users\":[{\"id\":1,\"login\":\"__system__\",\"name\":\"System\",\"active\":false},"
		"{\"id\":2,\"login\":\"bot@example.test\",\"name\":\"Bot\"},"
		"{\"id\":3,\"login\":\"kim@example.test\",\"name\":\"Kim\"}],"
		"\"crm.team\":[{\"id\":1,\"name\":\"Sales\"}],"
		"\"crm.lost.reason\":[{\"id\":1,\"name\":\"Too expensive\"}],"
		"\"ir.model\":[{\"id\":1,\"model\":\"crm.lead\"}],"
		"\"calendar.alarm\":[{\"id\":1,\"alarm_type\":\"notification\",\"duration_minutes\":60},"
		"{\"id\":2,\"alarm_type\":\"notification\",\"duration_minutes\":1440}],"
		"\"crm.lead\":[],\"crm.tag\":[],\"utm.source\":[],\"utm.campaign\":[],\"res.partner\":[],"
		"\"mail.message\":[],\"mail.activity\":[],\"calendar.event\":[],\"ir.model.fields\":[]}");
	store->lead_fields =
		parse("{\"name\":{\"type\":\"char\"},\"type\":{\"type\":\"selection\"},"
			  "\"contact_name\":{\"type\":\"char\"},\"partner_name\":{\"type\":\"char\"},"
			  "\"email_from\":{\"type\":\"char\"},\"phone\":{\"type\":\"char\"},"
			  "\"description\":{\"type\":\"html\"},\"priority\":{\"type\":\"selection\"},"
			  "\"stage_id\":{\"type\":\"many2one\",\"relation\":\"crm.stage\"},"
			  "\"user_id\":{\"type\":\"many2one\",\"relation\":\"res.users\"},"
			  "\"team_id\":{\"type\":\"many2one\",\"relation\":\"crm.team\"},"
			  "\"source_id\":{\"type\":\"many2one\",\"relation\":\"utm.source\"},"
			  "\"campaign_id\":{\"type\":\"many2one\",\"relation\":\"utm.campaign\"},"
			  "\"partner_id\":{\"type\":\"many2one\",\"relation\":\"res.partner\"},"
			  "\"lost_reason_id\":{\"type\":\"many2one\",\"relation\":\"crm.lost.reason\"},"
			  "\"tag_ids\":{\"type\":\"many2many\",\"relation\":\"crm.tag\"},"
			  "\"active\":{\"type\":\"boolean\"},\"probability\":{\"type\":\"float\"},"
			  "\"won_status\":{\"type\":\"selection\",\"readonly\":true},"
			  "\"write_date\":{\"type\":\"datetime\",\"readonly\":true}}");
	return store;
}

void
odoo_store_free(struct odoo_store *store)
{
	json_object_put(store->models);
	json_object_put(store->external);
	json_object_put(store->lead_fields);
	free(store);
}

static void fail(struct odoo_error *error, int status, const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static void
fail(struct odoo_error *error, int status, const char *name, const char *format, ...)
{
	va_list args;

	if (error->status != 0)
		return;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	error->status = status;
	error->name = name;
}

static struct json_object *
get(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, name, &value);
	return value;
}

static bool
is_true(struct json_object *value)
{
	return value != NULL && json_object_get_boolean(value);
}

static struct json_object *
find(struct odoo_store *store, const char *model, long long id)
{
	struct json_object *all = get(store->models, model);

	for (size_t i = 0; all != NULL && i < json_object_array_length(all); i++)
	{
		struct json_object *record = json_object_array_get_idx(all, i);

		if (record != NULL && json_object_get_int64(get(record, "id")) == id)
			return record;
	}
	return NULL;
}

static void
note(struct odoo_store *store, const char *model, long long id, const char *event, const char *what)
{
	char name[120];

	snprintf(name, sizeof(name), "%s/%lld", model, id);
	ledger_note(store->ledger, name, event, "what", what);
}

static void
stamp(struct json_object *record)
{
	char text[32];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	json_put_text(record, "write_date", text);
	json_put_int(record, "write_uid", 2);
}

/* ---- rules of single models --------------------------------------------------------------------- */

/* "2026-12-01 09:00:00" and nothing else. */
static bool
is_time(const char *text)
{
	static const char pattern[] = "0000-00-00 00:00:00";

	for (size_t i = 0; i < sizeof(pattern) - 1; i++)
		if (pattern[i] == '0' ? !isdigit((unsigned char) text[i]) : text[i] != pattern[i])
			return false;
	return text[sizeof(pattern) - 1] == '\0';
}

static void
check_lead_value(struct odoo_store *store, const char *field, struct json_object *value,
				 struct odoo_error *error)
{
	struct json_object *known = get(store->lead_fields, field);
	const char *relation = json_text_member(known, "relation");
	const char *text = value != NULL ? json_object_get_string(value) : "";

	if (known == NULL)
		fail(error, 500, "builtins.ValueError", "Invalid field '%s' in 'crm.lead'", field);
	else if (strcmp(field, "priority") == 0 && (strlen(text) != 1 || strchr("0123", *text) == NULL))
		fail(error, 500, "builtins.ValueError", "Wrong value for crm.lead.priority: '%s'", text);
	else if (strcmp(json_text_member(known, "type"), "many2one") == 0 &&
			 json_object_is_type(value, json_type_int) &&
			 find(store, relation, json_object_get_int64(value)) == NULL)
		fail(error, 404, "odoo.exceptions.MissingError",
			 "Record does not exist or has been deleted.\n(Record: %s(%s,), User: 2)", relation,
			 text);
}

static void
check_value(struct odoo_store *store, const char *model, const char *field,
			struct json_object *value, struct odoo_error *error)
{
	if (strcmp(model, "crm.lead") == 0)
		check_lead_value(store, field, value, error);
	else if (strcmp(model, "calendar.event") == 0 &&
			 (strcmp(field, "start") == 0 || strcmp(field, "stop") == 0) &&
			 !is_time(value != NULL ? json_object_get_string(value) : ""))
		fail(error, 500, "builtins.ValueError", "time data %s does not match format",
			 json_object_get_string(value));
	else if (strcmp(model, "ir.model.fields") == 0 && strcmp(field, "name") == 0 &&
			 strncmp(json_object_get_string(value), "x_", 2) != 0)
		fail(error, 422, "odoo.exceptions.ValidationError",
			 "Custom fields must have a name that starts with 'x_'!");
}

/* What Odoo computes. */
static void
compute(struct odoo_store *store, const char *model, struct json_object *record)
{
	struct json_object *stage;

	if (strcmp(model, "crm.lead") == 0)
	{
		stage = find(store, "crm.stage", json_object_get_int64(get(record, "stage_id")));
		json_put_text(record, "won_status",
					  is_true(get(stage, "is_won"))								? "won"
					  : is_true(get(record, "active"))							? "pending"
					  : json_object_get_double(get(record, "probability")) == 0 ? "lost"
																				: "pending");
	}
	else if (strcmp(model, "res.partner") == 0)
		json_put_text(record, "email_normalized", json_text_member(record, "email"));
	stamp(record);
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* Links of many: [[4, id]], [[6, 0, [ids]]], or plain ids. */
static void
write_links(struct json_object *record, const char *field, struct json_object *commands)
{
	struct json_object *old = get(record, field);
	struct json_object *ids = json_object_new_array();

	for (size_t i = 0;
		 json_object_is_type(old, json_type_array) && i < json_object_array_length(old); i++)
		json_object_array_add(ids, json_object_get(json_object_array_get_idx(old, i)));
	for (size_t i = 0; i < json_object_array_length(commands); i++)
	{
		struct json_object *command = json_object_array_get_idx(commands, i);
		struct json_object *id = json_object_is_type(command, json_type_array)
									 ? json_object_array_get_idx(command, 1)
									 : command;

		if (json_object_is_type(command, json_type_array) &&
			json_object_get_int(json_object_array_get_idx(command, 0)) == 6)
		{
			json_object_put(ids);
			ids = json_object_get(json_object_array_get_idx(command, 2));
		}
		else
			json_object_array_add(ids, json_object_get(id));
	}
	json_object_object_add(record, field, ids);
}

static void
write_values(struct odoo_store *store, const char *model, struct json_object *record,
			 struct json_object *vals, struct odoo_error *error)
{
	json_object_object_foreach(vals, checked, of)
	{
		check_value(store, model, checked, of, error);
	}
	if (error->status != 0)
		return;
	json_object_object_foreach(vals, field, value)
	{
		size_t len = strlen(field);

		if (json_object_is_type(value, json_type_array) && len > 4 &&
			strcmp(field + len - 4, "_ids") == 0)
			write_links(record, field, value);
		else
			json_object_object_add(record, field, json_object_get(value));
	}
	compute(store, model, record);
}

static void
defaults(const char *model, struct json_object *record)
{
	json_put_bool(record, "active", true);
	if (strcmp(model, "crm.lead") == 0)
	{
		json_put_int(record, "stage_id", 1);
		json_put_int(record, "user_id", 2);
		json_put_int(record, "probability", 10);
		json_put_text(record, "type", "opportunity");
	}
}

static long long
create(struct odoo_store *store, const char *model, struct json_object *vals,
	   struct json_object *context, struct odoo_error *error)
{
	struct json_object *all = get(store->models, model);
	struct json_object *record = json_object_new_object();
	long long id = (long long) json_object_array_length(all) + 1;

	if (strcmp(model, "mail.activity") == 0 && get(vals, "res_model_id") == NULL &&
		get(context, "default_res_model") == NULL && get(vals, "res_model") == NULL)
		fail(error, 422, "odoo.exceptions.ValidationError",
			 "Activities have to be linked to records with a not null res_id.");
	if (strcmp(model, "crm.lead") == 0 && json_text_member(vals, "name")[0] == '\0')
		fail(error, 422, "odoo.exceptions.ValidationError",
			 "Missing required value for the field 'Opportunity' (name)");
	json_put_int(record, "id", id);
	defaults(model, record);
	write_values(store, model, record, vals, error);
	if (error->status != 0)
	{
		json_object_put(record);
		return 0;
	}
	if (strcmp(model, "ir.model.fields") == 0)
	{
		struct json_object *field = json_object_new_object();

		json_put_text(field, "type", json_text_member(vals, "ttype"));
		json_object_object_add(store->lead_fields, json_text_member(vals, "name"), field);
	}
	json_object_array_add(all, record);
	note(store, model, id, "created", json_text_member(vals, "name"));
	return id;
}

static struct json_object *
create_all(struct odoo_store *store, const struct odoo_question *q, struct odoo_error *error)
{
	struct json_object *list = get(q->args, "vals_list");
	struct json_object *ids = json_object_new_array();

	if (json_object_is_type(list, json_type_object))
		json_object_array_add(
			ids, json_object_new_int64(create(store, q->model, list, q->context, error)));
	else if (list == NULL)
		fail(error, 422, "werkzeug.exceptions.UnprocessableEntity",
			 "missing a required argument: 'vals_list'");
	else
		for (size_t i = 0; i < json_object_array_length(list) && error->status == 0; i++)
			json_object_array_add(
				ids, json_object_new_int64(create(
						 store, q->model, json_object_array_get_idx(list, i), q->context, error)));
	return ids;
}

/* The upsert by external id: cells are texts. */
static struct json_object *
load(struct odoo_store *store, const struct odoo_question *q, struct odoo_error *error)
{
	struct json_object *fields = get(q->args, "fields");
	struct json_object *row = json_object_array_get_idx(get(q->args, "data"), 0);
	struct json_object *vals = json_object_new_object();
	struct json_object *answer = json_object_new_object();
	struct json_object *ids = json_object_new_array();
	struct json_object *known;
	char key[300] = "";
	long long id;

	for (size_t i = 0; i < json_object_array_length(fields); i++)
	{
		const char *field = json_object_get_string(json_object_array_get_idx(fields, i));
		const char *cell = json_object_get_string(json_object_array_get_idx(row, i));
		size_t len = strcspn(field, "/");
		char name[100];

		snprintf(name, sizeof(name), "%.*s", (int) len, field);
		if (strcmp(field, "id") == 0)
			snprintf(key, sizeof(key), "%s %s", q->model, cell);
		else if (strcmp(field + len, "/.id") == 0 || strcmp(field, "res_id") == 0)
			json_put_int(vals, name, strtoll(cell, NULL, 10));
		else
			json_put_text(vals, name, cell);
	}
	known = get(store->external, key);
	if (known != NULL && find(store, q->model, json_object_get_int64(known)) != NULL)
	{
		id = json_object_get_int64(known);
		write_values(store, q->model, find(store, q->model, id), vals, error);
		note(store, q->model, id, "loaded", key);
	}
	else
	{
		id = create(store, q->model, vals, q->context, error);
		json_object_object_add(store->external, key, json_object_new_int64(id));
	}
	json_object_put(vals);
	json_object_array_add(ids, json_object_new_int64(id));
	json_object_object_add(answer, "ids", ids);
	json_object_object_add(answer, "messages", json_object_new_array());
	return answer;
}

/* ---- searching ---------------------------------------------------------------------------------- */

static int
compare(struct json_object *a, struct json_object *b)
{
	double x;
	double y;

	if (json_object_is_type(a, json_type_string) && json_object_is_type(b, json_type_string))
		return strcmp(json_object_get_string(a), json_object_get_string(b));
	if (json_object_is_type(a, json_type_string) != json_object_is_type(b, json_type_string))
		return json_object_is_type(a, json_type_string) ? 1 : -1;
	x = a != NULL ? json_object_get_double(a) : 0;
	y = b != NULL ? json_object_get_double(b) : 0;
	return (x > y) - (x < y);
}

static bool
leaf_holds(struct json_object *record, struct json_object *leaf)
{
	struct json_object *value =
		get(record, json_object_get_string(json_object_array_get_idx(leaf, 0)));
	const char *op = json_object_get_string(json_object_array_get_idx(leaf, 1));
	struct json_object *wanted = json_object_array_get_idx(leaf, 2);
	int order;

	if (strcmp(op, "in") == 0)
	{
		for (size_t i = 0; i < json_object_array_length(wanted); i++)
			if (compare(value, json_object_array_get_idx(wanted, i)) == 0)
				return true;
		return false;
	}
	order = compare(value, wanted);
	return strcmp(op, "=") == 0	   ? order == 0
		   : strcmp(op, "!=") == 0 ? order != 0
		   : strcmp(op, ">") == 0  ? order > 0
		   : strcmp(op, ">=") == 0 ? order >= 0
		   : strcmp(op, "<") == 0  ? order < 0
		   : strcmp(op, "<=") == 0 ? order <= 0
								   : false;
}

static bool
matches(struct json_object *record, struct json_object *domain, struct json_object *context)
{
	bool asks_active = get(context, "active_test") != NULL && !is_true(get(context, "active_test"));

	for (size_t i = 0; domain != NULL && i < json_object_array_length(domain); i++)
	{
		struct json_object *leaf = json_object_array_get_idx(domain, i);

		if (strcmp(json_object_get_string(json_object_array_get_idx(leaf, 0)), "active") == 0)
			asks_active = true;
		if (!leaf_holds(record, leaf))
			return false;
	}
	return asks_active || get(record, "active") == NULL || is_true(get(record, "active"));
}

/* A record as it is read: a link of one as [id, name], nothing as false. */
static struct json_object *
readable(struct odoo_store *store, const char *model, struct json_object *record,
		 struct json_object *fields)
{
	struct json_object *row = json_object_new_object();

	json_object_object_add(row, "id", json_object_get(get(record, "id")));
	for (size_t i = 0; fields != NULL && i < json_object_array_length(fields); i++)
	{
		const char *field = json_object_get_string(json_object_array_get_idx(fields, i));
		struct json_object *value = get(record, field);
		const char *relation = strcmp(model, "crm.lead") == 0
								   ? json_text_member(get(store->lead_fields, field), "relation")
								   : "";

		if (relation[0] != '\0' && json_object_is_type(value, json_type_int))
		{
			struct json_object *pair = json_object_new_array();

			json_object_array_add(pair, json_object_get(value));
			json_object_array_add(
				pair, json_object_new_string(json_text_member(
						  find(store, relation, json_object_get_int64(value)), "name")));
			json_object_object_add(row, field, pair);
		}
		else
			json_object_object_add(row, field,
								   value != NULL ? json_object_get(value)
												 : json_object_new_boolean(false));
	}
	return row;
}

static struct json_object *
search(struct odoo_store *store, const struct odoo_question *q, bool read)
{
	struct json_object *all = get(store->models, q->model);
	struct json_object *limit = get(q->args, "limit");
	struct json_object *found = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(all); i++)
	{
		struct json_object *record = json_object_array_get_idx(all, i);

		if (record == NULL || !matches(record, get(q->args, "domain"), q->context))
			continue;
		if (limit != NULL && (int) json_object_array_length(found) >= json_object_get_int(limit))
			break;
		json_object_array_add(found, read
										 ? readable(store, q->model, record, get(q->args, "fields"))
										 : json_object_get(get(record, "id")));
	}
	return found;
}

static struct json_object *
fields_get(struct odoo_store *store, const struct odoo_question *q)
{
	struct json_object *wanted = get(q->args, "allfields");
	struct json_object *found = json_object_new_object();

	for (size_t i = 0; wanted != NULL && i < json_object_array_length(wanted); i++)
	{
		const char *field = json_object_get_string(json_object_array_get_idx(wanted, i));
		struct json_object *known = get(store->lead_fields, field);

		if (known != NULL)
			json_object_object_add(found, field, json_object_get(known));
	}
	return found;
}

/* ---- methods ------------------------------------------------------------------------------------ */

static struct json_object *
post_message(struct odoo_store *store, const struct odoo_question *q, long long id,
			 struct odoo_error *error)
{
	struct json_object *vals = json_object_new_object();
	struct json_object *ids = json_object_new_array();

	json_put_text(vals, "model", q->model);
	json_put_int(vals, "res_id", id);
	json_put_text(vals, "body", json_text_member(q->args, "body"));
	json_put_text(vals, "message_id", json_text_member(q->args, "message_id"));
	json_object_array_add(ids,
						  json_object_new_int64(create(store, "mail.message", vals, NULL, error)));
	json_object_put(vals);
	return ids;
}

/* A method on each of the ids. */
static struct json_object *
on_record(struct odoo_store *store, const struct odoo_question *q, long long id,
		  struct odoo_error *error)
{
	struct json_object *record = find(store, q->model, id);
	struct json_object *all = get(store->models, q->model);

	if (record == NULL)
		fail(error, 404, "odoo.exceptions.MissingError",
			 "Record does not exist or has been deleted.\n(Record: %s(%lld,), User: 2)", q->model,
			 id);
	else if (strcmp(q->method, "write") == 0)
	{
		write_values(store, q->model, record, get(q->args, "vals"), error);
		note(store, q->model, id, "written", json_object_get_string(get(q->args, "vals")));
	}
	else if (strcmp(q->method, "unlink") == 0)
	{
		json_object_array_put_idx(all, (size_t) id - 1, NULL);
		note(store, q->model, id, "deleted", "");
	}
	else if (strcmp(q->method, "action_set_won") == 0)
	{
		json_put_int(record, "stage_id", 4);
		json_put_int(record, "probability", 100);
		json_put_bool(record, "active", true);
		compute(store, q->model, record);
		note(store, q->model, id, "won", "");
	}
	else if (strcmp(q->method, "action_set_lost") == 0)
	{
		json_put_int(record, "probability", 0);
		json_put_bool(record, "active", false);
		json_object_object_add(record, "lost_reason_id",
							   json_object_get(get(q->args, "lost_reason_id")));
		compute(store, q->model, record);
	}
	else if (strcmp(q->method, "action_feedback") == 0)
	{
		json_put_bool(record, "active", false);
		note(store, q->model, id, "done", "");
	}
	else if (strcmp(q->method, "message_post") == 0)
		return post_message(store, q, id, error);
	else
		fail(error, 404, "werkzeug.exceptions.NotFound", "the method '%s.%s' does not exist",
			 q->model, q->method);
	return json_object_new_boolean(true);
}

struct json_object *
odoo_store_call(struct odoo_store *store, const struct odoo_question *q, struct odoo_error *error)
{
	struct json_object *answer = NULL;

	error->status = 0;
	if (strcmp(q->method, "context_get") == 0)
		return parse("{\"lang\":\"en_US\",\"tz\":false,\"uid\":2}");
	if (strcmp(q->method, "check_access_rights") == 0)
		return json_object_new_boolean(true);
	if (get(store->models, q->model) == NULL)
		fail(error, 404, "werkzeug.exceptions.NotFound", "the model '%s' does not exist", q->model);
	else if (strcmp(q->method, "create") == 0)
		answer = create_all(store, q, error);
	else if (strcmp(q->method, "load") == 0)
		answer = load(store, q, error);
	else if (strcmp(q->method, "search") == 0)
		answer = search(store, q, false);
	else if (strcmp(q->method, "search_read") == 0)
		answer = search(store, q, true);
	else if (strcmp(q->method, "fields_get") == 0)
		answer = fields_get(store, q);
	else if (!json_object_is_type(q->ids, json_type_array))
		fail(error, 422, "werkzeug.exceptions.UnprocessableEntity", "no ids for %s", q->method);
	else
		for (size_t i = 0; i < json_object_array_length(q->ids) && error->status == 0; i++)
		{
			json_object_put(answer);
			answer = on_record(store, q,
							   json_object_get_int64(json_object_array_get_idx(q->ids, i)), error);
		}
	if (error->status != 0)
	{
		json_object_put(answer);
		return NULL;
	}
	return answer;
}
