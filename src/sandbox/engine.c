/*
 * engine.c: `voiceagent sandbox engine`, the server under both dialects.
 *
 * One loop, one clock of 10 ms for all sessions: fifty conversations cost fifty short function
 * calls a tick. A session stays in the list after its end, since Ultravox answers questions about
 * past calls; the list is bounded.
 */
#include "sandbox/engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/log.h"
#include "sandbox/codec.h"
#include "sandbox/json_text.h"
#include "sandbox/sandbox.h"

#define TICK_MS 10
#define MAX_SESSIONS 5000
#define MAX_BODY (2 * 1024 * 1024)

uint64_t
engine_now_ms(void)
{
	return loop_now_us() / 1000;
}

static void
session_free(struct session *s)
{
	conversation_free(s->talk);
	json_object_put(s->request);
	json_object_put(s->messages);
	EVP_MD_CTX_free(s->heard_digest);
	wav_writer_close(s->heard_wav);
	free(s);
}

/* The oldest ended session makes room. */
static void
forget_one(struct engine *engine)
{
	struct session **oldest = NULL;

	for (struct session **at = &engine->sessions; *at; at = &(*at)->next)
		if ((*at)->ended && !(*at)->ws)
			oldest = at;
	if (oldest)
	{
		struct session *s = *oldest;

		*oldest = s->next;
		session_free(s);
		engine->session_count--;
	}
}

struct session *
session_new(struct engine *engine, enum dialect dialect)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	if (engine->session_count >= MAX_SESSIONS)
		forget_one(engine);
	s->engine = engine;
	s->dialect = dialect;
	codec_random_uuid(s->id);
	s->created_ms = engine_now_ms();
	s->created_wall_ms = loop_wall_ms();
	s->messages = json_object_new_array();
	s->heard_digest = EVP_MD_CTX_new();
	EVP_DigestInit_ex(s->heard_digest, EVP_sha256(), NULL);
	s->next = engine->sessions;
	engine->sessions = s;
	engine->session_count++;
	return s;
}

struct session *
session_find(struct engine *engine, const char *id)
{
	for (struct session *s = engine->sessions; s; s = s->next)
		if (strcmp(s->id, id) == 0)
			return s;
	return NULL;
}

const struct scenario *
session_scenario(struct engine *engine, const char *name, const char *text)
{
	const struct scenario *found = name[0] ? scenario_find(&engine->scenarios, name) : NULL;
	const char *mark = strstr(text, "[scenario:");
	char marked[64];

	if (!found && mark)
	{
		size_t len = strcspn(mark + 10, "]");

		snprintf(marked, sizeof(marked), "%.*s", (int) (len < 60 ? len : 60), mark + 10);
		found = scenario_find(&engine->scenarios, marked);
	}
	return found ? found : engine->scenario;
}

static void
open_recording(struct session *s)
{
	char path[4096];

	if (!s->engine->wav_dir || s->heard_wav)
		return;
	snprintf(path, sizeof(path), "%s/engine-%s.wav", s->engine->wav_dir, s->id);
	s->heard_wav = wav_writer_open(path, 1, s->input_rate);
}

void
session_hear(struct session *s, const int16_t *pcm, size_t count)
{
	uint64_t now = engine_now_ms();

	if (s->heard_bytes == 0)
		open_recording(s);
	EVP_DigestUpdate(s->heard_digest, pcm, count * sizeof(int16_t));
	s->heard_bytes += count * sizeof(int16_t);
	wav_writer_add(s->heard_wav, pcm, count);
	s->last_audio_ms = now;
	if (s->talk && !s->faults->silence)
		conversation_audio(s->talk, pcm, count, now);
}

void
session_spoke(struct session *s, size_t bytes)
{
	s->spoken_bytes += bytes;
}

void
session_end(struct session *s, const char *reason)
{
	struct json_object *line;
	char hex[CODEC_SHA256_HEX];

	if (s->ended)
		return;
	s->ended = true;
	s->end_reason = reason;
	s->ended_wall_ms = loop_wall_ms();
	s->close_at_ms = engine_now_ms() + TICK_MS;
	codec_sha256_peek(s->heard_digest, hex);
	line = ledger_line(s->engine->ledger, s->id, "ended");
	json_put_text(line, "reason", reason);
	json_put_int(line, "heard_bytes", (long long) s->heard_bytes);
	json_put_int(line, "heard_rate", s->input_rate);
	json_put_text(line, "heard_sha256", hex);
	json_put_int(line, "spoken_bytes", (long long) s->spoken_bytes);
	json_put_int(line, "ms", s->opened_ms ? (long long) (engine_now_ms() - s->opened_ms) : 0);
	ledger_write(s->engine->ledger, line);
	wav_writer_close(s->heard_wav);
	s->heard_wav = NULL;
}

void
session_socket_closed(struct session *s, const char *reason)
{
	s->ws = NULL;
	if (s->talk && !conversation_over(s->talk))
	{
		ledger_note(s->engine->ledger, s->id, "socket_closed", "why", reason);
		session_end(s, "hangup");
	}
	else
		session_end(s, "hangup");
	conversation_free(s->talk);
	s->talk = NULL;
}

struct json_object *
session_message(const char *type)
{
	struct json_object *o = json_object_new_object();

	json_put_text(o, "type", type);
	return o;
}

void
session_send(struct session *s, struct json_object *message)
{
	const char *text = json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN);

	if (s->ws)
		ws_send_copy(s->ws, WS_TEXT, text, strlen(text), false);
	json_object_put(message);
}

void
engine_answer(struct http_exchange *ex, int status, struct json_object *body, const char *headers)
{
	const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN);

	http_answer(ex, status, "application/json", text, strlen(text), headers);
	json_object_put(body);
}

void
engine_answer_detail(struct http_exchange *ex, int status, const char *detail)
{
	struct json_object *body = json_object_new_object();

	json_put_text(body, "detail", detail);
	engine_answer(ex, status, body, NULL);
}

/* POST /sandbox/faults: the body is a specification for the sessions to come. */
static void
set_faults(struct engine *engine, struct http_exchange *ex, const struct http_request *req)
{
	char error[160];

	snprintf(engine->fault_text, sizeof(engine->fault_text), "%.*s", (int) req->body_len,
			 req->body);
	if (!fault_book_get(engine->faults, engine->fault_text, error, sizeof(error)))
	{
		engine->fault_text[0] = '\0';
		engine_answer_detail(ex, 400, error);
		return;
	}
	engine->fault = engine->fault_text;
	ledger_note(engine->ledger, "", "faults_set", "spec", engine->fault);
	engine_answer_detail(ex, 200, "armed");
}

static void
on_request(void *arg, struct http_exchange *ex, const struct http_request *req)
{
	struct engine *engine = arg;

	if (req->body_too_large)
		engine_answer_detail(ex, 413, "body too large");
	else if (strcmp(req->path, "/sandbox/faults") == 0 && strcmp(req->method, "POST") == 0)
		set_faults(engine, ex, req);
	else if (strcmp(req->path, "/health") == 0)
		engine_answer_detail(ex, 200, "ok");
	else if (strncmp(req->path, "/api/", 5) == 0)
		ultravox_request(engine, ex, req);
	else
		engine_answer_detail(ex, 404, "Not found.");
}

static int
on_upgrade(void *arg, const struct http_request *req, struct ws_limits *limits,
		   const struct ws_handlers **handlers, void **ws_arg, struct http_exchange *headers)
{
	struct engine *engine = arg;

	limits->max_message = 1024 * 1024;
	limits->max_queue = 16 * 1024 * 1024;
	if (strcmp(req->path, "/v1/realtime") == 0)
		return realtime_upgrade(engine, req, headers, handlers, ws_arg);
	return ultravox_upgrade(engine, req, handlers, ws_arg);
}

static void
cut_socket(struct session *s)
{
	s->faults->drops--;
	ledger_note(s->engine->ledger, s->id, "fault", "fault", "drop");
	session_end(s, "connection_error");
	ws_close(s->ws, 1011, "sandbox fault");
	s->close_at_ms = 0;
}

static void
send_garbage(struct session *s, uint64_t now)
{
	static const char *const nonsense[] = {"{\"type\":",
										   "[]",
										   "{\"type\":42}",
										   "not json",
										   "{\"type\":\"unheard_of\",\"x\":{\"y\":[1,2]}}",
										   "{}"};

	if (now < s->garbage_at_ms)
		return;
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		ws_send_copy(s->ws, WS_TEXT, nonsense[i], strlen(nonsense[i]), false);
	if (s->garbage_at_ms == 0)
		ledger_note(s->engine->ledger, s->id, "fault", "fault", "garbage");
	s->garbage_at_ms = now + 1000;
}

static void
tick_session(struct session *s, uint64_t now)
{
	if (s->ws && s->ended && s->close_at_ms && now >= s->close_at_ms)
	{
		s->close_at_ms = 0;
		ws_close(s->ws, 1000, s->end_reason);
		return;
	}
	if (!s->ws || s->ended)
		return;
	if (s->faults->drop_after_ms && s->faults->drops && s->opened_ms &&
		now >= s->opened_ms + s->faults->drop_after_ms)
	{
		cut_socket(s);
		return;
	}
	if (s->faults->garbage && s->talk)
		send_garbage(s, now);
	if (s->talk)
		conversation_tick(s->talk, now);
}

static void
on_clock(uv_timer_t *timer)
{
	struct engine *engine = timer->data;
	uint64_t now = engine_now_ms();

	for (struct session *s = engine->sessions; s; s = s->next)
	{
		if (s->ended && !s->ws)
			continue;
		tick_session(s, now);
		if (s->ended)
			continue;
		if (s->dialect == DIALECT_ULTRAVOX)
			ultravox_tick(s, now);
		else
			realtime_tick(s, now);
	}
}

static void
on_terminate(void *arg)
{
	struct engine *engine = arg;

	uv_timer_stop(&engine->clock);
	uv_close((uv_handle_t *) &engine->clock, NULL);
	http_server_close(engine->server);
	loop_stop(engine->loop);
}

/* A port that is free now, for --port 0. */
static unsigned
free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned port = 0;

	if (fd >= 0 && bind(fd, (struct sockaddr *) &a, sizeof(a)) == 0 &&
		getsockname(fd, (struct sockaddr *) &a, &len) == 0)
		port = ntohs(a.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

static const char usage[] =
	"usage: voiceagent sandbox engine [options]\n"
	"\n"
	"Stands in for Ultravox (http://127.0.0.1:PORT/api) and for an engine of the generic realtime\n"
	"dialect (ws://127.0.0.1:PORT/v1/realtime). The conversation follows a scenario: the one "
	"named\n"
	"in metadata.scenario (or session.create's \"scenario\", or \"[scenario:NAME]\" in the "
	"prompt),\n"
	"else the one given here.\n"
	"\n"
	"  --port PORT         where to listen on 127.0.0.1; 0 takes a free one (default 9000)\n"
	"  --scenarios DIR     scenario files\n"
	"  --scenario NAME     default: house-buyer\n"
	"  --speech DIR        prepared speech; what is missing is synthesised by espeak-ng\n"
	"  --ledger FILE       append what happens as JSON lines (\"-\" = standard output)\n"
	"  --wav-dir DIR       keep the audio each session received\n"
	"  --think-ms N        from the end of a turn to the answer (default 120)\n"
	"  --late-text-ms N    the end of a sentence's text comes so long after its audio (default 0)\n"
	"  --burst-ms N        realtime: audio is sent so far ahead of real time (default 400)\n"
	"  --fault SPEC        e.g. create_429=1,retry_after=1 or drop_after_ms=4000 or never_ready;\n"
	"                      also POST /sandbox/faults with SPEC as the body, while it runs\n"
	"  --verbose           log more\n";

struct engine_arguments
{
	unsigned port;
	char scenarios[4096];
	const char *scenario;
	char speech[4096];
	const char *ledger;
	const char *speech_engine;
	bool verbose;
};

static bool
read_number(const char *text, unsigned most, unsigned *out)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (end == text || *end || v > most)
		return false;
	*out = (unsigned) v;
	return true;
}

/* -1 = go on, else the exit status. */
static int
read_arguments(int argc, char **argv, struct engine *e, struct engine_arguments *a)
{
	static const struct option options[] = {{"port", required_argument, NULL, 'p'},
											{"scenarios", required_argument, NULL, 'd'},
											{"scenario", required_argument, NULL, 's'},
											{"speech", required_argument, NULL, 'e'},
											{"ledger", required_argument, NULL, 'l'},
											{"wav-dir", required_argument, NULL, 'w'},
											{"think-ms", required_argument, NULL, 't'},
											{"burst-ms", required_argument, NULL, 'b'},
											{"late-text-ms", required_argument, NULL, 'm'},
											{"fault", required_argument, NULL, 'f'},
											{"verbose", no_argument, NULL, 'v'},
											{"help", no_argument, NULL, 'h'},
											{NULL, 0, NULL, 0}};
	bool ok = true;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c)
		{
			case 'p': ok &= read_number(optarg, 65535, &a->port); break;
			case 'd': snprintf(a->scenarios, sizeof(a->scenarios), "%s", optarg); break;
			case 's': a->scenario = optarg; break;
			case 'e': snprintf(a->speech, sizeof(a->speech), "%s", optarg); break;
			case 'l': a->ledger = optarg; break;
			case 'w': e->wav_dir = optarg; break;
			case 't': ok &= read_number(optarg, 60000, &e->think_ms); break;
			case 'b': ok &= read_number(optarg, 600000, &e->burst_ms); break;
			case 'm': ok &= read_number(optarg, 60000, &e->late_text_ms); break;
			case 'f': e->fault = optarg; break;
			case 'v': a->verbose = true; break;
			case 'h': fputs(usage, stdout); return 0;
			default: ok = false;
		}
	if (ok && optind == argc)
		return -1;
	fputs(usage, stderr);
	return 2;
}

static bool
prepare(struct engine *e, struct engine_arguments *a)
{
	char error[512] = "";

	e->ledger = ledger_open(a->ledger, "engine");
	e->faults = fault_book_new();
	if (!e->ledger)
	{
		fprintf(stderr, "voiceagent: ledger %s: %s\n", a->ledger, strerror(errno));
		return false;
	}
	if (!scenario_set_load(&e->scenarios, a->scenarios, error, sizeof(error)) ||
		!fault_book_get(e->faults, e->fault, error, sizeof(error)))
	{
		fprintf(stderr, "voiceagent: %s\n", error);
		return false;
	}
	e->scenario = scenario_find(&e->scenarios, a->scenario);
	if (!e->scenario)
	{
		fprintf(stderr, "voiceagent: no scenario \"%s\" in %s\n", a->scenario, a->scenarios);
		return false;
	}
	e->speech = speech_store_new(a->speech[0] ? a->speech : NULL, "espeak-ng");
	return true;
}

static bool
listen_on(struct engine *e, unsigned port)
{
	struct loop_handlers handlers = {.terminate = on_terminate, .arg = e};
	struct http_server_handlers server = {.request = on_request, .upgrade = on_upgrade, .arg = e};
	struct http_server_options options = {.addresses = "127.0.0.1",
										  .max_connections = 2000,
										  .max_body = MAX_BODY,
										  .request_timeout_s = 60};

	e->port = port ? port : free_port();
	options.ports[0] = (uint16_t) e->port;
	e->loop = loop_new(&handlers, false, 2100);
	if (!e->loop)
		return false;
	e->server = http_server_new(e->loop, &options, &server);
	if (!e->server)
		return false;
	uv_timer_init(loop_uv(e->loop), &e->clock);
	e->clock.data = e;
	uv_timer_start(&e->clock, on_clock, TICK_MS, TICK_MS);
	return true;
}

static void
tidy_up(struct engine *e)
{
	while (e->sessions)
	{
		struct session *s = e->sessions;

		e->sessions = s->next;
		session_free(s);
	}
	if (e->loop)
		loop_free(e->loop);
	scenario_set_free(&e->scenarios);
	speech_store_free(e->speech);
	fault_book_free(e->faults);
	ledger_close(e->ledger);
}

int
sandbox_engine_main(int argc, char **argv)
{
	struct engine e = {.think_ms = 120, .burst_ms = 400};
	struct engine_arguments a = {.port = 9000, .scenario = "house-buyer"};
	const char *fault = getenv("VOICEAGENT_SANDBOX_FAULT");
	int status;

	e.fault = fault ? fault : "";
	scenario_default_dir(a.scenarios, sizeof(a.scenarios));
	if (!scenario_default_speech(a.speech, sizeof(a.speech)))
		a.speech[0] = '\0';
	if ((status = read_arguments(argc, argv, &e, &a)) >= 0)
		return status;
	log_setup("voiceagent sandbox engine", false, a.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
	if (!prepare(&e, &a) || !listen_on(&e, a.port))
	{
		tidy_up(&e);
		return 1;
	}
	/* One line that a script can wait for and take the port from. */
	printf("listening on 127.0.0.1:%u\n", e.port);
	fflush(stdout);
	loop_run(e.loop);
	tidy_up(&e);
	return 0;
}
