/*
 * providers.c: `voiceagent sandbox providers`, the host of the stand-ins for services.
 *
 * It owns the socket, the ledger and the faults. A request goes to the stand-in whose prefix its
 * path begins with, and the stand-in answers through stand_in_answer; a fault takes the request's
 * or the answer's place without the stand-in knowing. Every fault that struck is a line of the
 * ledger.
 */
#include "sandbox/providers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/log.h"
#include "net/loop.h"
#include "sandbox/json_text.h"
#include "sandbox/provider_faults.h"
#include "sandbox/sandbox.h"

#define MAX_STAND_INS 32
#define MAX_BODY (64 * 1024 * 1024)

struct providers
{
	struct loop *loop;
	struct http_server *server;
	struct http_client *http;
	struct ledger *ledger;
	struct provider_faults *faults;
	struct stand_in_host host;
	char base_url[64];
	void *selves[MAX_STAND_INS];
};

struct stand_in_exchange
{
	struct providers *providers;
	struct http_exchange *http;
	const struct provider_fault *fault; /* or NULL */
	uv_timer_t *timer; /* of an answer that comes late */
	int status;
	char *content_type, *headers, *body;
	size_t len;
};

/* ---- answers ---- */

static void
exchange_free(struct stand_in_exchange *ex)
{
	free(ex->content_type);
	free(ex->headers);
	free(ex->body);
	free(ex);
}

static char *
copy(const char *text, size_t len)
{
	char *memory = malloc(len + 1);

	if (memory == NULL)
		abort();
	memcpy(memory, text, len);
	memory[len] = '\0';
	return memory;
}

/* The head of a good answer and half of its body. */
static void
cut_in_body(struct stand_in_exchange *ex)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		abort();
	fprintf(out, "HTTP/1.1 %d OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", ex->status,
			ex->content_type, ex->len + 2);
	fwrite(ex->body, 1, ex->len / 2, out);
	fclose(out);
	http_cut(ex->http, text, len);
	free(text);
}

static void
answer_now(struct stand_in_exchange *ex)
{
	static const char nonsense[] = "<html>{\"id\": \xff\xfe this is no answer";
	const struct provider_fault *fault = ex->fault;

	if (fault != NULL && fault->cut == CUT_AFTER)
		http_cut(ex->http, NULL, 0);
	else if (fault != NULL && fault->cut == CUT_BODY)
		cut_in_body(ex);
	else if (fault != NULL && fault->garbage)
		http_answer(ex->http, 200, "text/html", nonsense, sizeof(nonsense) - 1, NULL);
	else
		http_answer(ex->http, ex->status, ex->content_type, ex->body, ex->len, ex->headers);
	exchange_free(ex);
}

/* The answer that a fault puts in the place of the stand-in's. */
static void
answer_status(struct stand_in_exchange *ex)
{
	const struct provider_fault *fault = ex->fault;
	char headers[512] = "";

	if (fault->redirect[0] != '\0')
		snprintf(headers, sizeof(headers), "Location: %s\r\n", fault->redirect);
	else if (fault->retry_after >= 0)
		snprintf(headers, sizeof(headers), "Retry-After: %d\r\n", fault->retry_after);
	http_answer(ex->http, fault->redirect[0] != '\0' ? 307 : (int) fault->status,
				fault->content_type[0] != '\0' ? fault->content_type : "application/json",
				fault->body, strlen(fault->body), headers);
	exchange_free(ex);
}

static void
on_timer_closed(uv_handle_t *handle)
{
	free(handle);
}

static void
on_late(uv_timer_t *timer)
{
	struct stand_in_exchange *ex = timer->data;

	uv_close((uv_handle_t *) timer, on_timer_closed);
	answer_now(ex);
}

void
stand_in_answer(struct stand_in_exchange *ex, int status, const char *content_type,
				const char *body, size_t len, const char *extra_headers)
{
	if (ex->fault != NULL && ex->fault->status != 0 && ex->fault->after)
	{
		answer_status(ex);
		return;
	}
	ex->status = status;
	ex->content_type = copy(content_type != NULL ? content_type : "",
							content_type != NULL ? strlen(content_type) : 0);
	ex->headers = extra_headers != NULL ? copy(extra_headers, strlen(extra_headers)) : NULL;
	ex->body = copy(body != NULL ? body : "", len);
	ex->len = len;
	if (ex->fault == NULL || ex->fault->slow_ms == 0)
	{
		answer_now(ex);
		return;
	}
	ex->timer = calloc(1, sizeof(*ex->timer));
	if (ex->timer == NULL)
		abort();
	uv_timer_init(loop_uv(ex->providers->loop), ex->timer);
	ex->timer->data = ex;
	uv_timer_start(ex->timer, on_late, ex->fault->slow_ms, 0);
}

void
stand_in_answer_json(struct stand_in_exchange *ex, int status, struct json_object *body)
{
	const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN |
																JSON_C_TO_STRING_NOSLASHESCAPE);

	stand_in_answer(ex, status, "application/json", text, strlen(text), NULL);
	json_object_put(body);
}

const char *
stand_in_header(struct stand_in_exchange *ex, const char *name)
{
	return http_header(ex->http, name);
}

bool
stand_in_flag(struct stand_in_exchange *ex, const char *name)
{
	struct json_object *flags = ex->fault != NULL ? ex->fault->flags : NULL;

	for (size_t i = 0; flags != NULL && i < json_object_array_length(flags); i++)
	{
		if (strcmp(json_object_get_string(json_object_array_get_idx(flags, i)), name) == 0)
			return true;
	}
	return false;
}

/* ---- requests ---- */

static void
answer_detail(struct http_exchange *ex, int status, const char *detail)
{
	struct json_object *body = json_object_new_object();
	const char *text;

	json_put_text(body, "detail", detail);
	text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN);
	http_answer(ex, status, "application/json", text, strlen(text), NULL);
	json_object_put(body);
}

static void
serve_faults(struct providers *p, struct http_exchange *ex, const struct http_request *req)
{
	char error[160] = "";
	struct json_object *spec;

	if (strcmp(req->method, "DELETE") == 0)
	{
		provider_faults_clear(p->faults);
		answer_detail(ex, 200, "cleared");
		return;
	}
	spec = json_text_object(req->body, req->body_len, error, sizeof(error));
	if (spec != NULL && provider_faults_add(p->faults, spec, error, sizeof(error)))
		answer_detail(ex, 200, "armed");
	else
		answer_detail(ex, 400, error);
	json_object_put(spec);
}

const struct provider_fault *
stand_in_strike(const struct stand_in_host *host, const char *prefix, const char *method,
				const char *path)
{
	const struct provider_fault *fault = provider_faults_strike(host->faults, prefix, method, path);
	struct json_object *line;

	if (fault == NULL)
		return NULL;
	line = ledger_line(host->ledger, prefix, "fault");
	json_put_text(line, "method", method);
	json_put_text(line, "path", path);
	json_object_object_add(line, "fault", json_object_get(fault->spec));
	ledger_write(host->ledger, line);
	return fault;
}

static void
serve(struct providers *p, size_t number, struct http_exchange *http,
	  const struct http_request *req)
{
	const struct stand_in *stand_in = stand_ins[number];
	struct stand_in_exchange *ex = calloc(1, sizeof(*ex));
	struct stand_in_request request = {
		.method = req->method,
		.path = req->path + strlen(stand_in->prefix),
		.query = req->query,
		.host = req->host,
		.content_type = req->content_type,
		.body = req->body,
		.body_len = req->body_len,
	};

	if (ex == NULL)
		abort();
	ex->providers = p;
	ex->http = http;
	ex->fault = stand_in_strike(&p->host, stand_in->prefix, req->method, request.path);
	if (ex->fault != NULL && ex->fault->cut == CUT_BEFORE)
	{
		http_cut(http, NULL, 0);
		exchange_free(ex);
	}
	else if (ex->fault != NULL &&
			 ((ex->fault->status != 0 && !ex->fault->after) || ex->fault->redirect[0] != '\0'))
		answer_status(ex);
	else
		stand_in->request(p->selves[number], ex, &request);
}

static void
on_request(void *arg, struct http_exchange *ex, const struct http_request *req)
{
	struct providers *p = arg;

	if (req->body_too_large)
	{
		answer_detail(ex, 413, "body too large");
		return;
	}
	if (strcmp(req->path, "/sandbox/faults") == 0)
	{
		serve_faults(p, ex, req);
		return;
	}
	if (strcmp(req->path, "/health") == 0)
	{
		answer_detail(ex, 200, "ok");
		return;
	}
	for (size_t i = 0; stand_ins[i] != NULL; i++)
	{
		size_t len = strlen(stand_ins[i]->prefix);

		if (strncmp(req->path, stand_ins[i]->prefix, len) == 0 &&
			(req->path[len] == '/' || req->path[len] == '\0'))
		{
			serve(p, i, ex, req);
			return;
		}
	}
	answer_detail(ex, 404, "no stand-in has this path");
}

/* ---- the program ---- */

static void
on_terminate(void *arg)
{
	struct providers *p = arg;

	http_server_close(p->server);
	loop_stop(p->loop);
}

static uint16_t
free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint16_t port = 0;

	if (fd >= 0 && bind(fd, (struct sockaddr *) &a, sizeof(a)) == 0 &&
		getsockname(fd, (struct sockaddr *) &a, &len) == 0)
		port = ntohs(a.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

static const char usage[] =
	"usage: voiceagent sandbox providers [options]\n"
	"\n"
	"Stands in for the services that the dispatcher talks to, each under a path of its own\n"
	"(http://127.0.0.1:PORT/sink …).\n"
	"\n"
	"  --port PORT     where to listen on 127.0.0.1; 0 takes a free one (default 9100)\n"
	"  --ledger FILE   append what happens as JSON lines (\"-\" = standard output)\n"
	"  --fault JSON    a fault, may be repeated; also POST /sandbox/faults while it runs:\n"
	"                  {\"prefix\": \"/sink\", \"status\": 503, \"times\": 2}\n";

struct provider_arguments
{
	unsigned port;
	const char *ledger;
};

static bool
add_fault(struct providers *p, const char *text)
{
	char error[160] = "";
	struct json_object *spec = json_text_object(text, strlen(text), error, sizeof(error));
	bool good = spec != NULL && provider_faults_add(p->faults, spec, error, sizeof(error));

	if (!good)
		fprintf(stderr, "voiceagent: fault: %s\n", error);
	json_object_put(spec);
	return good;
}

/* -1 = go on, else the exit status. */
static int
read_arguments(int argc, char **argv, struct providers *p, struct provider_arguments *a)
{
	static const struct option options[] = {{"port", required_argument, NULL, 'p'},
											{"ledger", required_argument, NULL, 'l'},
											{"fault", required_argument, NULL, 'f'},
											{"help", no_argument, NULL, 'h'},
											{NULL, 0, NULL, 0}};
	bool ok = true;
	char *end;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c)
		{
			case 'p':
				a->port = (unsigned) strtoul(optarg, &end, 10);
				ok &= *end == '\0' && a->port <= 65535;
				break;
			case 'l': a->ledger = optarg; break;
			case 'f': ok &= add_fault(p, optarg); break;
			case 'h': fputs(usage, stdout); return 0;
			default: ok = false;
		}
	if (ok && optind == argc)
		return -1;
	fputs(usage, stderr);
	return 2;
}

static bool
start(struct providers *p, const struct provider_arguments *a)
{
	struct loop_handlers handlers = {.terminate = on_terminate, .arg = p};
	struct http_server_handlers server = {.request = on_request, .arg = p};
	uint16_t port = a->port != 0 ? (uint16_t) a->port : free_port();
	struct http_server_options options = {.addresses = "127.0.0.1",
										  .ports = {port},
										  .max_connections = 2000,
										  .max_body = MAX_BODY,
										  .request_timeout_s = 300};

	p->ledger = ledger_open(a->ledger, "providers");
	if (p->ledger == NULL)
	{
		fprintf(stderr, "voiceagent: ledger %s: %s\n", a->ledger, strerror(errno));
		return false;
	}
	p->loop = loop_new(&handlers, false, 4100);
	if (p->loop == NULL || (p->server = http_server_new(p->loop, &options, &server)) == NULL)
		return false;
	p->http = http_client_new(p->loop, 64);
	snprintf(p->base_url, sizeof(p->base_url), "http://127.0.0.1:%u", port);
	p->host = (struct stand_in_host){p->loop, p->http, p->ledger, p->faults, p->base_url};
	for (size_t i = 0; i < MAX_STAND_INS && stand_ins[i] != NULL; i++)
		p->selves[i] = stand_ins[i]->open(&p->host);
	return p->http != NULL;
}

int
sandbox_providers_main(int argc, char **argv)
{
	struct providers p = {.faults = provider_faults_new()};
	struct provider_arguments a = {.port = 9100};
	int status = read_arguments(argc, argv, &p, &a);

	if (status < 0)
	{
		log_setup("voiceagent sandbox providers", false, LOG_LEVEL_WARNING);
		status = 1;
		if (start(&p, &a))
		{
			status = 0;
			/* One line that a script can wait for and take the port from. */
			printf("listening on %s\n", p.base_url + strlen("http://"));
			fflush(stdout);
			loop_run(p.loop);
		}
	}
	for (size_t i = 0; p.host.loop != NULL && stand_ins[i] != NULL; i++)
		stand_ins[i]->close(p.selves[i]);
	http_client_free(p.http);
	if (p.loop != NULL)
		loop_free(p.loop);
	provider_faults_free(p.faults);
	ledger_close(p.ledger);
	return status;
}
