/*
 * gateway.c: the program `voiceagent gateway`: sets the parts up in order, keeps settings and
 * credentials fresh, and stops in order.
 *
 * A control connection of its own serves settings, credentials, notifications and reports; the
 * calls' connections never wait behind it. Everything begins with the settings, because they hold
 * the ports; once they were read, the database may go away without the service stopping: the last
 * good copy of settings and credentials stays in force.
 */
#include "gateway/gateway.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "gateway/call.h"
#include "gateway/journal.h"
#include "gateway/media.h"
#include "gateway/report.h"
#include "gateway/routes.h"
#include "net/db.h"
#include "net/http_client.h"
#include "net/log.h"
#include "net/loop.h"
#include "program/control.h"
#include "program/options.h"
#include "program/version.h"

#define CLOCK_MS 20
#define QUERY_TIMEOUT_MS 10000
#define STOP_STEP_MS 20
#define STOP_STEPS 20 /* 0.4 s */
#define MAX_QUEUED (32 * 1024 * 1024)
#define CONNECTIONS_BESIDE_CALLS 512
#define MAX_CONNECTIONS 16384
#define REQUEST_TIMEOUT_S 20
#define ENGINE_CONNECTIONS 64

static const char config_channel[] = "voiceagent_config";

struct program
{
	struct gateway gateway; /* first: the two share an address */
	struct options options;
	struct settings fresh; /* being read */
	uv_timer_t clock; /* drives calls; stands still while there are none */
	uv_timer_t report;
	uv_timer_t stop;
	unsigned stop_steps;
	bool clock_runs;
	bool config_asked;
	bool config_stale; /* changed while it was being read */
	int status;
};

void
gateway_reject(struct gateway *g, enum rejection why)
{
	g->counters.rejected[why]++;
}

/* ---- the clock ---- */

static void
on_clock(uv_timer_t *timer)
{
	struct program *p = timer->data;
	struct gateway *g = &p->gateway;
	uint64_t now_us = loop_now_us();

	call_tick_all(g, now_us);
	media_tick_all(g, now_us);
	journal_tick_closed(g, now_us);
	if (g->calls == NULL && g->streams == NULL && g->closed_journals == NULL && g->dead == NULL)
	{
		uv_timer_stop(timer);
		p->clock_runs = false;
	}
}

void
gateway_wake(struct gateway *g)
{
	struct program *p = (struct program *) g;

	if (p->clock_runs)
		return;
	p->clock_runs = true;
	uv_timer_start(&p->clock, on_clock, CLOCK_MS, CLOCK_MS);
}

static void
on_report(uv_timer_t *timer)
{
	struct program *p = timer->data;

	report_tick(&p->gateway, loop_now_us());
}

/* ---- credentials ---- */

static void load_config(struct program *p);
static void listen_now(struct program *p);

static void
config_read(void *arg, const struct db_reply *reply)
{
	struct program *p = arg;
	struct va_error err = {""};

	p->config_asked = false;
	if (reply->outcome == DB_OK && PQntuples(reply->result) == 1)
	{
		if (!credentials_load(&p->gateway.credentials, PQgetvalue(reply->result, 0, 0),
							  (size_t) PQgetlength(reply->result, 0, 0), &err))
			log_error("the configuration cannot be used: %s", err.text);
		else if (!mail_keys_load(&p->gateway.mail_keys, PQgetvalue(reply->result, 0, 0),
								 (size_t) PQgetlength(reply->result, 0, 0), &err))
			log_error("the keys of e-mail webhooks cannot be used: %s", err.text);
		else if (p->gateway.credentials.count == 0)
			log_write(LOG_LEVEL_WARNING,
					  &(struct log_context){
						  .hint = "Set a tenant's twilio_account_sid and its secret "
								  "twilio_auth_token; until then every request is refused."},
					  "no Twilio account is configured");
	}
	else
		log_warning("the credentials could not be read: %s", reply->message);
	if (reply->outcome == DB_OK && p->gateway.server == NULL)
		listen_now(p);
	if (p->config_stale)
		load_config(p);
}

static void
load_config(struct program *p)
{
	p->config_stale = p->config_asked;
	if (p->config_asked || p->gateway.sql.texts[SQL_CONFIG] == NULL)
		return;
	p->config_asked = true;
	db_query(control_db(p->gateway.control), 0, p->gateway.sql.texts[SQL_CONFIG], 0, NULL,
			 QUERY_TIMEOUT_MS, config_read, p);
}

/* ---- settings ---- */

static void
calls_db_state(void *arg, bool connected)
{
	struct program *p = arg;

	p->gateway.db_connected = connected;
	if (!connected)
		log_warning("the calls' connections to the database are lost");
}

static bool
open_server(struct program *p)
{
	struct gateway *g = &p->gateway;
	const struct settings *s = &g->settings;
	struct http_server_handlers handlers = routes_handlers;
	struct http_server_options options = {
		.addresses = s->listen_addresses,
		.ports = {s->http_port, s->media_port != s->http_port ? s->media_port : 0, 0, 0},
		.cert_file = s->ssl_cert_file[0] != '\0' ? s->ssl_cert_file : NULL,
		.key_file = s->ssl_key_file[0] != '\0' ? s->ssl_key_file : NULL,
		.max_connections = 2 * s->max_calls + CONNECTIONS_BESIDE_CALLS,
		.max_body = ROUTES_MAX_BODY,
		.request_timeout_s = REQUEST_TIMEOUT_S,
	};

	handlers.arg = g;
	g->server = http_server_new(g->loop, &options, &handlers);
	return g->server != NULL;
}

/* The settings are there for the first time: connections for the calls are made. */
static bool
begin(struct program *p)
{
	struct gateway *g = &p->gateway;
	struct db_options options = {
		.target_count = p->options.target_count,
		.connections = g->settings.gateway_connections,
		.max_queued = MAX_QUEUED,
		.state = calls_db_state,
		.arg = p,
	};

	memcpy(options.targets, p->options.targets, sizeof(options.targets));
	g->db = db_new(g->loop, &options);
	return g->db != NULL;
}

/* Not before the tokens are known: a request that comes while the gateway restarts is better
 * refused by the kernel, which Twilio answers by trying again, than by us as wrongly signed. */
static void
listen_now(struct program *p)
{
	struct gateway *g = &p->gateway;

	if (g->stopping)
		return;
	if (!open_server(p))
	{
		p->status = 1;
		loop_stop(g->loop);
		return;
	}
	log_info("gateway %s listens on %s, ports %u and %u", g->name, g->settings.listen_addresses,
			 g->settings.http_port, g->settings.media_port);
}

static void
apply_change(struct program *p, const struct settings *fresh)
{
	struct settings *s = &p->gateway.settings;
	bool fixed = strcmp(s->listen_addresses, fresh->listen_addresses) == 0 &&
				 s->http_port == fresh->http_port && s->media_port == fresh->media_port &&
				 s->gateway_connections == fresh->gateway_connections;

	if (!fixed)
		log_info("changed addresses, ports or connections take effect when the gateway restarts");

	struct settings applied = *fresh;

	/* What we really listen on stays what requests are matched with. */
	memcpy(applied.listen_addresses, s->listen_addresses, sizeof(applied.listen_addresses));
	applied.http_port = s->http_port;
	applied.media_port = s->media_port;
	applied.gateway_connections = s->gateway_connections;
	*s = applied;
	if (p->gateway.server != NULL && s->ssl_cert_file[0] != '\0')
		http_server_reload_tls(p->gateway.server, s->ssl_cert_file,
							   s->ssl_key_file[0] != '\0' ? s->ssl_key_file : NULL);
}

static void
apply_settings(struct program *p, const struct settings *fresh, const char *schema)
{
	struct gateway *g = &p->gateway;
	struct urls urls;
	struct va_error err = {""};

	if (!sql_build(&g->sql, schema))
		return;
	log_set_level(fresh->log_level);
	if (g->db == NULL)
		g->settings = *fresh;
	else
		apply_change(p, fresh);
	if (urls_build(&urls, &g->settings, &err))
		g->urls = urls;
	else
		log_write(LOG_LEVEL_WARNING, &(struct log_context){.detail = err.text},
				  "voiceagent.public_url cannot be used: requests cannot be verified");
	if (g->db == NULL && !begin(p))
	{
		p->status = 1;
		loop_stop(g->loop);
		return;
	}
	load_config(p);
}

static void
settings_begin(void *arg)
{
	settings_default(&((struct program *) arg)->fresh);
}

static bool
settings_take(void *arg, const char *name, const char *value, struct va_error *err)
{
	return settings_set(&((struct program *) arg)->fresh, name, value, err);
}

static void
settings_apply(void *arg, const char *schema)
{
	struct program *p = arg;

	apply_settings(p, &p->fresh, schema);
}

static void
notified(void *arg, const char *channel, const char *payload)
{
	(void) payload;
	if (strcmp(channel, config_channel) == 0)
		load_config(arg);
}

static const struct control_handlers control_handlers = {settings_begin, settings_take,
														 settings_apply, notified};

static void
on_hangup_signal(void *arg)
{
	struct program *p = arg;

	if (p->gateway.control != NULL)
		control_reload(p->gateway.control);
}

/* ---- the end ---- */

static void
on_stop_step(uv_timer_t *timer)
{
	struct program *p = timer->data;
	struct gateway *g = &p->gateway;
	bool waiting =
		g->streams != NULL || (g->db != NULL && g->db_connected && db_queued_queries(g->db) > 0);

	if (waiting && ++p->stop_steps < STOP_STEPS)
		return;
	uv_timer_stop(timer);
	loop_stop(g->loop);
}

static void
on_terminate(void *arg)
{
	struct program *p = arg;
	struct gateway *g = &p->gateway;

	if (g->stopping)
		return;
	g->stopping = true;
	control_stop(g->control);
	log_info("gateway %s stops with %u calls", g->name, g->call_count);
	if (g->server != NULL)
		http_server_close(g->server);
	call_shutdown_all(g);
	media_shutdown_all(g);
	uv_timer_start(&p->stop, on_stop_step, 0, STOP_STEP_MS);
}

/* ---- the whole ---- */

static void
timer_init(struct program *p, uv_timer_t *timer)
{
	uv_timer_init(loop_uv(p->gateway.loop), timer);
	timer->data = p;
}

static bool
set_up(struct program *p)
{
	struct gateway *g = &p->gateway;
	struct loop_handlers handlers = {on_terminate, on_hangup_signal, p};

	memcpy(g->name, p->options.name, sizeof(g->name));
	g->started_us = loop_now_us();
	settings_default(&g->settings);
	g->loop = loop_new(&handlers, p->options.from_stdin, MAX_CONNECTIONS);
	if (g->loop == NULL)
		return false;
	timer_init(p, &p->clock);
	timer_init(p, &p->report);
	timer_init(p, &p->stop);
	g->http = http_client_new(g->loop, ENGINE_CONNECTIONS);
	g->control = control_new(g->loop, &p->options, config_channel, &control_handlers, p);
	if (g->http == NULL || g->control == NULL)
		return false;
	uv_timer_start(&p->report, on_report, REPORT_TURN_MS, REPORT_TURN_MS);
	return true;
}

/* Everything that may hold memory, so that a leak checker has nothing to say. */
static void
tear_down(struct program *p)
{
	struct gateway *g = &p->gateway;

	g->stopping = g->stopped = true;
	call_shutdown_all(g);
	if (g->db != NULL)
		db_close(g->db, 0);
	control_free(g->control);
	call_tick_all(g, loop_now_us());
	if (g->http != NULL)
		http_client_free(g->http);
	uv_close((uv_handle_t *) &p->clock, NULL);
	uv_close((uv_handle_t *) &p->report, NULL);
	uv_close((uv_handle_t *) &p->stop, NULL);
	loop_free(g->loop);
	credentials_wipe(&g->credentials);
	mail_keys_wipe(&g->mail_keys);
	for (int i = 0; i < SQL_COUNT; i++)
		free(g->sql.texts[i]);
}

int
gateway_main(int argc, char **argv)
{
	static const struct options_program about = {"gateway", "gw",
												 "Answers Twilio's webhooks and media streams"};
	struct program *p = calloc(1, sizeof(*p));
	int status;

	if (p == NULL || !options_read(&p->options, &about, argc, argv))
	{
		free(p);
		return 2;
	}
	log_setup("voiceagent gateway", p->options.log_json, LOG_LEVEL_INFO);
	log_info("gateway %s %s starts", p->options.name, VOICEAGENT_VERSION);
	p->status = 1;
	if (set_up(p))
	{
		p->status = 0;
		loop_run(p->gateway.loop);
	}
	if (p->gateway.loop != NULL)
		tear_down(p);
	status = p->status;
	options_free(&p->options);
	free(p);
	return status;
}
