/*
 * The stand-ins against each other: caller and engine run as processes of their own, and this
 * program is the product between them, as small as it can be: one TwiML document, one bridge of
 * mu-law and linear audio. A call must come out as its scenario says, and each side's ledger must
 * tell what the other side's does.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/log.h"
#include "net/loop.h"
#include "sandbox/codec.h"
#include "sandbox/json_text.h"
#include "sandbox/sandbox.h"
#include "tap.h"

static const char scenario[] =
	"{\"name\": \"short\","
	" \"caller\": {\"voice\": \"en-us+m3\", \"number\": \"+15550100009\"},"
	" \"agent\": {\"voice\": \"en-us+f3\", \"greeting\": \"Hello, how may I help?\"},"
	" \"steps\": ["
	"  {\"say\": \"Tell me your opening hours, please.\"},"
	"  {\"interrupt_after_ms\": 1200, \"say\": \"Thank you, that is enough.\"},"
	"  {\"press\": \"5\"},"
	"  {\"listen\": true}],"
	" \"rules\": ["
	"  {\"hears\": \"Tell me your opening hours, please.\", \"says\": \"From Monday to Friday we "
	"are "
	"open from nine in the morning to six in the evening, and on Saturdays from ten to two.\"},"
	"  {\"hears\": \"Thank you, that is enough.\","
	"   \"tools\": [{\"name\": \"note\", \"arguments\": {\"n\": 1}}], \"then\": \"Press five.\"},"
	"  {\"keys\": \"5\", \"says\": \"Goodbye!\", \"end\": true}],"
	" \"expect\": {\"ended_by\": \"agent\", \"max_s\": 40}}";

static char folder[] = "/tmp/voiceagent-test-XXXXXX";
static struct loop *loop;
static struct http_client *http;
static struct http_server *server;
static unsigned engine_port, port;
static pid_t engine_pid, caller_pid;
static int caller_status = -1;
static bool realtime;
static struct ws *phone, *engine;
static char stream_sid[64];
static unsigned webhooks, unsigned_webhooks;
static uv_timer_t watch;

static const char *
path(const char *name)
{
	static char text[4][200];
	static unsigned at;

	at = (at + 1) % 4;
	snprintf(text[at], sizeof(text[at]), "%s/%s", folder, name);
	return text[at];
}

static unsigned
free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool bound = bind(fd, (struct sockaddr *) &a, sizeof(a)) == 0 &&
				 getsockname(fd, (struct sockaddr *) &a, &len) == 0;

	close(fd);
	return bound ? ntohs(a.sin_port) : 0;
}

/* Starts a subcommand in a child, its standard output to fd. */
static pid_t
start(int (*run)(int, char **), char **argv, int fd)
{
	int argc = 0;
	pid_t pid;

	while (argv[argc])
		argc++;
	fflush(stdout);
	pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, 1);
	_exit(run(argc, argv));
}

static void
start_engine(void)
{
	char number[12];
	char *argv[] = {"engine",	   "--port",   number,
					"--scenarios", folder,	   "--scenario",
					"short",	   "--ledger", (char *) path("engine.jsonl"),
					"--wav-dir",   folder,	   NULL};
	int fds[2];
	char line[64];

	engine_port = free_port();
	snprintf(number, sizeof(number), "%u", engine_port);
	if (pipe(fds) != 0)
		abort();
	engine_pid = start(sandbox_engine_main, argv, fds[1]);
	close(fds[1]);
	ok(read(fds[0], line, sizeof(line)) > 0, "the engine says that it listens");
	close(fds[0]);
}

static void
start_caller(void)
{
	char url[64];
	char *argv[] = {"call",
					"--to",
					"+15550100100",
					"--scenario",
					(char *) path("short.json"),
					"--url",
					url,
					"--account-sid",
					"AC00000000000000000000000000000001",
					"--auth-token",
					"test-token",
					"--ledger",
					(char *) path("caller.jsonl"),
					"--wav-dir",
					folder,
					"--quiet",
					NULL};

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	caller_pid = start(sandbox_call_main, argv, 2);
}

/* ---- the bridge ---- */

static void
to_phone(const int16_t *pcm, size_t count, size_t every)
{
	uint8_t audio[4096];
	char payload[6000], text[7000];
	size_t n = 0;

	for (size_t i = 0; i < count && n < sizeof(audio); i += every)
		audio[n++] = codec_ulaw_from_pcm(pcm[i]);
	codec_base64_encode(payload, sizeof(payload), audio, n);
	snprintf(text, sizeof(text),
			 "{\"event\":\"media\",\"streamSid\":\"%s\",\"media\":{\"payload\":\"%s\"}}",
			 stream_sid, payload);
	if (phone)
		ws_send_copy(phone, WS_TEXT, text, strlen(text), false);
}

static void
clear_phone(void)
{
	char text[128];

	snprintf(text, sizeof(text), "{\"event\":\"clear\",\"streamSid\":\"%s\"}", stream_sid);
	if (phone)
		ws_send_copy(phone, WS_TEXT, text, strlen(text), false);
}

static void
to_engine(const char *text)
{
	if (engine)
		ws_send_copy(engine, WS_TEXT, text, strlen(text), false);
}

static void
realtime_event(struct json_object *m, const char *type)
{
	static bool speaking;
	int16_t pcm[4096];
	const char *audio = json_text_member(m, "audio");

	if (strcmp(type, "audio.output") == 0)
	{
		ssize_t len = codec_base64_decode(pcm, sizeof(pcm), audio, strlen(audio));

		to_phone(pcm, (size_t) len / 2, 3);
		speaking = true;
	}
	else if (strcmp(type, "transcript.partial") == 0 && speaking &&
			 strcmp(json_text_member(m, "role"), "user") == 0)
	{
		speaking = false;
		clear_phone();
		to_engine("{\"type\":\"conversation.interrupt\",\"reason\":\"barge_in\"}");
	}
	else if (strcmp(type, "tool.call") == 0)
		to_engine("{\"type\":\"tool.result\",\"id\":\"inv-1\",\"name\":\"note\",\"result\":true}");
}

static void
engine_message(void *arg, struct ws *ws, const char *data, size_t len, bool binary)
{
	struct json_object *m;
	int16_t pcm[4096];
	char error[100];
	const char *type;

	(void) arg;
	(void) ws;
	if (binary)
	{
		memcpy(pcm, data, len < sizeof(pcm) ? len : sizeof(pcm));
		to_phone(pcm, len / 2, 1);
		return;
	}
	m = json_text_object(data, len, error, sizeof(error));
	type = json_text_member(m, "type");
	if (strcmp(type, "playback_clear_buffer") == 0)
		clear_phone();
	else if (strcmp(type, "client_tool_invocation") == 0)
		to_engine(
			"{\"type\":\"client_tool_result\",\"invocationId\":\"inv-1\",\"result\":\"true\"}");
	else
		realtime_event(m, type);
	json_object_put(m);
}

static void
engine_open(void *arg, struct ws *ws)
{
	(void) arg;
	engine = ws;
	if (realtime)
		to_engine("{\"type\":\"session.create\",\"model\":\"m\",\"voice\":\"v\",\"system_prompt\":"
				  "\"x\",\"tools\":[{\"name\":\"note\",\"description\":\"d\",\"parameters\":{}}]}");
}

static void
engine_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	(void) arg;
	(void) ws;
	(void) code;
	(void) http_status;
	(void) reason;
	engine = NULL;
	if (phone)
		ws_close(phone, 1000, "");
}

static const struct ws_handlers engine_handlers = {engine_open, engine_message, engine_close};
static const struct ws_limits limits = {1024 * 1024, 4 * 1024 * 1024};

static void
engine_created(void *arg, const struct http_reply *reply)
{
	char error[100];
	struct json_object *o = json_text_object(reply->body, reply->body_len, error, sizeof(error));

	(void) arg;
	is_int(reply->status, 201, "the engine's session is created");
	ws_connect(loop, json_text_member(o, "joinUrl"), NULL, 2000, limits, &engine_handlers, NULL);
	json_object_put(o);
}

static void
connect_engine(void)
{
	static const char body[] =
		"{\"medium\":{\"serverWebSocket\":{\"inputSampleRate\":8000,\"clientBufferSizeMs\":30000}},"
		"\"metadata\":{\"scenario\":\"short\"},\"selectedTools\":[{\"temporaryTool\":"
		"{\"modelToolName\":\"note\",\"description\":\"d\",\"client\":{}}}]}";
	const char *headers[] = {"X-API-Key: k", "Content-Type: application/json", NULL};
	const char *bearer[] = {"Authorization: Bearer k", "X-Tenant-ID: t", NULL};
	struct http_options o = {.method = "POST",
							 .headers = headers,
							 .body = body,
							 .body_len = sizeof(body) - 1,
							 .connect_timeout_ms = 2000,
							 .timeout_ms = 5000,
							 .max_reply = 65536};
	char url[100];

	if (realtime)
	{
		snprintf(url, sizeof(url), "ws://127.0.0.1:%u/v1/realtime", engine_port);
		ws_connect(loop, url, bearer, 2000, limits, &engine_handlers, NULL);
		return;
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/api/calls", engine_port);
	o.url = url;
	http_client_send(http, &o, engine_created, NULL);
}

/* mu-law from the phone to what the engine wants. */
static void
phone_audio(const char *payload)
{
	uint8_t audio[160];
	int16_t pcm[320];
	char base64[1000], text[1200];
	ssize_t len = codec_base64_decode(audio, sizeof(audio), payload, strlen(payload));

	for (ssize_t i = 0; i < len; i++)
	{
		int16_t s = codec_pcm_from_ulaw(audio[i]);

		if (realtime)
			pcm[2 * i] = pcm[2 * i + 1] = s;
		else
			pcm[i] = s;
	}
	if (!realtime)
	{
		ws_send_copy(engine, WS_BINARY, (char *) pcm, (size_t) len * 2, true);
		return;
	}
	codec_base64_encode(base64, sizeof(base64), pcm, (size_t) len * 4);
	snprintf(text, sizeof(text),
			 "{\"type\":\"audio.input\",\"audio\":\"%s\",\"encoding\":\"pcm_s16le\","
			 "\"sample_rate\":16000}",
			 base64);
	to_engine(text);
}

static void
phone_message(void *arg, struct ws *ws, const char *data, size_t len, bool binary)
{
	char error[100];
	struct json_object *m = json_text_object(data, len, error, sizeof(error));
	const char *event = json_text_member(m, "event");

	(void) arg;
	(void) ws;
	(void) binary;
	if (strcmp(event, "start") == 0)
		snprintf(stream_sid, sizeof(stream_sid), "%s", json_text_member(m, "streamSid"));
	else if (strcmp(event, "media") == 0 && engine)
		phone_audio(json_text_member(json_text_child(m, "media", json_type_object), "payload"));
	else if (strcmp(event, "dtmf") == 0)
		to_engine(realtime ? "{\"type\":\"text.input\",\"text\":\"The caller pressed key 5.\"}"
						   : "{\"type\":\"user_text_message\",\"text\":\"The caller pressed key "
							 "5.\",\"urgency\":\"immediate\"}");
	json_object_put(m);
}

static void
phone_open(void *arg, struct ws *ws)
{
	(void) arg;
	phone = ws;
	connect_engine();
}

static void
phone_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	(void) arg;
	(void) ws;
	(void) code;
	(void) http_status;
	(void) reason;
	phone = NULL;
	if (engine)
		ws_close(engine, 1000, "");
}

static int
upgrade(void *arg, const struct http_request *req, struct ws_limits *out,
		const struct ws_handlers **handlers, void **ws_arg, struct http_exchange *headers)
{
	static const struct ws_handlers phone_handlers = {phone_open, phone_message, phone_close};

	(void) arg;
	*out = limits;
	*handlers = &phone_handlers;
	*ws_arg = NULL;
	unsigned_webhooks += http_header(headers, "x-twilio-signature")[0] == '\0';
	return strcmp(req->path, "/media-stream") == 0 ? 0 : 404;
}

static void
request(void *arg, struct http_exchange *ex, const struct http_request *req)
{
	char twiml[512];

	(void) arg;
	webhooks++;
	unsigned_webhooks += http_header(ex, "x-twilio-signature")[0] == '\0' ||
						 http_header(ex, "i-twilio-idempotency-token")[0] == '\0';
	if (strcmp(req->path, "/webhook/voice/answer") != 0)
	{
		http_answer(ex, 204, NULL, "", 0, NULL);
		return;
	}
	snprintf(twiml, sizeof(twiml),
			 "<Response><Connect><Stream url=\"ws://127.0.0.1:%u/media-stream\" "
			 "statusCallback=\"http://127.0.0.1:%u/stream\"/></Connect><Hangup/></Response>",
			 port, port);
	http_answer(ex, 200, "text/xml", twiml, strlen(twiml), NULL);
}

/* ---- running and judging ---- */

static void
on_watch(uv_timer_t *timer)
{
	(void) timer;
	if (waitpid(caller_pid, &caller_status, WNOHANG) == caller_pid)
		loop_stop(loop);
}

static void
begin_server(void)
{
	struct http_server_handlers handlers = {.request = request, .upgrade = upgrade};
	struct http_server_options options = {.addresses = "127.0.0.1",
										  .max_connections = 20,
										  .max_body = 65536,
										  .request_timeout_s = 20};

	port = free_port();
	options.ports[0] = (uint16_t) port;
	server = http_server_new(loop, &options, &handlers);
}

/* How many lines of a ledger hold both texts. */
static unsigned
lines_with(const char *file, const char *a, const char *b)
{
	FILE *f = fopen(path(file), "r");
	char line[4096];
	unsigned n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, a) && strstr(line, b);
	if (f)
		fclose(f);
	return n;
}

static void
remove_files(void)
{
	glob_t all;

	if (glob(path("*[lv]"), 0, NULL, &all) != 0)
		return;
	for (size_t i = 0; i < all.gl_pathc; i++)
		unlink(all.gl_pathv[i]);
	globfree(&all);
}

/* What arrived is what was said: bit by bit where nothing was resampled. */
static void
compare_recordings(const char *name)
{
	glob_t sent, received;
	char *argv[] = {"compare", "--sent", NULL, "--received", NULL, realtime ? NULL : "--exact",
					NULL};
	pid_t pid;
	int status = -1;

	if (glob(path("CA*-caller.wav"), 0, NULL, &sent) != 0 ||
		glob(path("engine-*.wav"), 0, NULL, &received) != 0)
	{
		ok(false, "%s: both sides recorded", name);
		return;
	}
	argv[2] = sent.gl_pathv[0];
	argv[4] = received.gl_pathv[0];
	pid = start(sandbox_compare_main, argv, 2);
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: the audio arrived as it was sent", name);
	globfree(&sent);
	globfree(&received);
	remove_files();
}

static void
one_call(bool dialect)
{
	const char *name = dialect ? "realtime" : "ultravox";
	struct loop_handlers none = {0};

	realtime = dialect;
	phone = engine = NULL;
	webhooks = unsigned_webhooks = 0;
	start_engine();
	loop = loop_new(&none, false, 100);
	http = http_client_new(loop, 8);
	begin_server();
	start_caller();
	uv_timer_init(loop_uv(loop), &watch);
	uv_timer_start(&watch, on_watch, 50, 50);
	loop_run(loop);
	ok(WIFEXITED(caller_status) && WEXITSTATUS(caller_status) == 0, "%s: the call went well", name);
	kill(engine_pid, SIGTERM);
	waitpid(engine_pid, NULL, 0);
	is_int(webhooks, 4, "answer, stream started and stopped, completed");
	is_int(unsigned_webhooks, 0, "all of them signed");
	is_int(lines_with("engine.jsonl", "\"heard\"", "Tell me your opening hours, please."), 1,
		   "the engine heard the first sentence");
	is_int(lines_with("engine.jsonl", "\"heard\"", "Thank you, that is enough."), 1,
		   "and the interruption");
	is_int(lines_with("engine.jsonl", "\"event\":\"heard\"", "unintelligible"), 0, "and no other");
	is_int(lines_with("engine.jsonl", "\"heard_text\"", "5"), 1, "and the key");
	is_int(lines_with("engine.jsonl", "\"interrupted\":true", "From Monday"), 1,
		   "the answer was cut");
	is_int(lines_with("engine.jsonl", "\"tool_result\"", "inv-1"), 1, "the tool was called");
	is_int(lines_with("engine.jsonl", "\"violation\"", ""), 0, "the bridge kept to the dialect");
	is_int(lines_with("caller.jsonl", "\"clear\"", "dropped_ms") -
			   lines_with("caller.jsonl", "\"clear\"", "\"dropped_ms\":0,"),
		   1, "the phone was cleared once while the agent spoke");
	compare_recordings(name);
	http_client_free(http);
	http_server_close(server);
	uv_close((uv_handle_t *) &watch, NULL);
	loop_free(loop);
}

int
main(void)
{
	FILE *f;

	plan(27);
	log_setup("test", false, LOG_LEVEL_WARNING);
	if (!mkdtemp(folder) || !(f = fopen(path("short.json"), "w")))
		abort();
	fputs(scenario, f);
	fclose(f);
	one_call(false);
	one_call(true);
	unlink(path("short.json"));
	rmdir(folder);
	return done();
}
