/*
 * control.c: reads the settings whenever they may have changed, until they can be applied.
 */
#include "program/control.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "net/log.h"
#include "program/sql.h"

#define RELOAD_DEBOUNCE_MS 300
#define RETRY_MS 1000
#define QUERY_TIMEOUT_MS 10000
#define MAX_QUEUED (1024 * 1024)

struct control
{
	struct db *db;
	const struct control_handlers *handlers;
	void *arg;
	uv_timer_t reload; /* debounces, and tries again */
	bool connected;
	bool asked;
	bool applied; /* once, since the start */
	bool missing_logged;
	bool stopped;
};

static void
settings_read(void *arg, const struct db_reply *reply)
{
	struct control *c = arg;
	struct va_error err = {""};
	const char *schema = NULL;

	c->asked = false;
	if (c->stopped)
		return;
	if (reply->outcome != DB_OK)
	{
		log_warning("the settings could not be read: %s", reply->message);
		return;
	}
	c->handlers->begin(c->arg);
	for (int i = 0; i < PQntuples(reply->result); i++)
	{
		const char *name = PQgetvalue(reply->result, i, 0);
		const char *value = PQgetvalue(reply->result, i, 1);

		if (strcmp(name, "schema") == 0)
			schema = value;
		else if (!c->handlers->set(c->arg, name, value, &err))
			log_warning("a setting is ignored: %s", err.text);
	}
	if (schema != NULL)
	{
		c->applied = true;
		c->handlers->apply(c->arg, schema);
	}
	else if (!c->missing_logged)
		log_write(LOG_LEVEL_WARNING,
				  &(struct log_context){.hint = "CREATE EXTENSION voiceagent in that database."},
				  "the database has no extension voiceagent; waiting for it");
	c->missing_logged = schema == NULL;
}

static void
on_reload(uv_timer_t *timer)
{
	struct control *c = timer->data;

	uv_timer_stop(timer);
	if (c->stopped)
		return;
	if (c->connected && !c->asked)
	{
		c->asked = true;
		db_query(c->db, 0, program_sql_settings, 0, NULL, QUERY_TIMEOUT_MS, settings_read, c);
	}
	if (!c->applied)
		uv_timer_start(timer, on_reload, RETRY_MS, 0);
}

static void
on_state(void *arg, bool connected)
{
	struct control *c = arg;

	c->connected = connected;
	log_debug("control connection: %s", connected ? "up" : "down");
	/* What changed, or was announced, while we could not hear of it. */
	if (connected && !c->stopped)
		uv_timer_start(&c->reload, on_reload, 0, 0);
}

static void
on_notified(void *arg, const char *channel, const char *payload)
{
	struct control *c = arg;

	if (!c->stopped)
		c->handlers->notified(c->arg, channel, payload);
}

static void
on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

struct control *
control_new(struct loop *loop, const struct options *options, const char *channel,
			const struct control_handlers *handlers, void *arg)
{
	struct control *c = calloc(1, sizeof(*c));
	const char *const channels[] = {channel, NULL};
	struct db_options db_options = {
		.target_count = options->target_count,
		.connections = 1,
		.max_queued = MAX_QUEUED,
		.channels = channels,
		.notified = on_notified,
		.state = on_state,
		.arg = c,
	};

	if (c == NULL)
		return NULL;
	c->handlers = handlers;
	c->arg = arg;
	uv_timer_init(loop_uv(loop), &c->reload);
	c->reload.data = c;
	memcpy(db_options.targets, options->targets, sizeof(db_options.targets));
	c->db = db_new(loop, &db_options);
	if (c->db == NULL)
	{
		control_free(c);
		return NULL;
	}
	return c;
}

struct db *
control_db(const struct control *control)
{
	return control->db;
}

bool
control_connected(const struct control *control)
{
	return control->connected;
}

void
control_reload(struct control *control)
{
	if (!control->stopped)
		uv_timer_start(&control->reload, on_reload, RELOAD_DEBOUNCE_MS, 0);
}

void
control_stop(struct control *control)
{
	control->stopped = true;
	uv_timer_stop(&control->reload);
}

void
control_free(struct control *control)
{
	if (control == NULL)
		return;
	control_stop(control);
	if (control->db != NULL)
		db_close(control->db, 0);
	uv_close((uv_handle_t *) &control->reload, on_closed);
}
