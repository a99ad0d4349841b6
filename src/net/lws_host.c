/*
 * lws_host.c: sets up libwebsockets once a loop, and takes it down in the right order.
 *
 * libwebsockets runs as a guest: the loop is ours (foreign), so it never polls by itself, opens no
 * listener (sockets reach it by adoption) and resolves no names (ws_connect gives it addresses,
 * since its resolver would block the loop). Compression is not negotiated: telephone audio does
 * not compress, and Twilio does not want extensions.
 */
#include "net/lws_host.h"

#include <stdlib.h>
#include <string.h>

#include "net/log.h"
#include "net/loop.h"
#include "net/loop_internal.h"

/* Fragments are joined by ws.c, so this bounds only what is handed over at once. Two media frames
 * of Twilio fit; memory for it is taken per socket. */
#define RX_BUFFER 1024
/* What is read from a socket at once, for all sockets together. */
#define READ_SIZE 16384

#define ENDING_TURNS 10

struct lws_host
{
	struct loop *loop;
	bool ending;
	struct lws_context *context;
	struct lws_vhost *server;
	struct lws_vhost *client;
	struct loop_member member;
};

static const struct lws_protocols protocols[] = {
	{.name = "ws", .callback = ws_lws_callback, .rx_buffer_size = RX_BUFFER}, {.name = NULL}};

/* A silent peer is ws.c's concern (ws_keepalive); libwebsockets' own pings would come on top. */
static const lws_retry_bo_t no_pings = {.secs_since_valid_ping = 0xfffe,
										.secs_since_valid_hangup = 0xffff};

static void
emit(int level, const char *line)
{
	size_t len = strcspn(line, "\r\n");

	if (level & LLL_ERR)
		log_write(LOG_LEVEL_DEBUG, NULL, "libwebsockets: %.*s", (int) (len > 400 ? 400 : len),
				  line);
}

static void
on_loop_ends(void *arg)
{
	struct lws_host *host = arg;

	/* On a foreign loop this only begins: its handles close in later turns; called again when they
	 * are closed it frees the rest, and sets our pointer (pcontext) to NULL. */
	host->ending = true;
	lws_context_destroy(host->context);
	for (int turn = 0; turn < ENDING_TURNS && host->context != NULL; turn++)
		uv_run(loop_uv(host->loop), UV_RUN_NOWAIT);
	if (host->context != NULL)
		lws_context_destroy(host->context);
	host->context = NULL;
}

static struct lws_vhost *
make_vhost(struct lws_context *context, const char *name, int port)
{
	struct lws_context_creation_info info = {.port = port,
											 .vhost_name = name,
											 .protocols = protocols,
											 .retry_and_idle_policy = &no_pings,
											 .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
											 .timeout_secs = 30};

	return lws_create_vhost(context, &info);
}

static bool
set_up(struct lws_host *host, unsigned max_connections)
{
	void *loops[1] = {loop_uv(host->loop)};
	struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN,
											 .protocols = protocols,
											 .options = LWS_SERVER_OPTION_LIBUV |
														LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
														LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
											 .foreign_loops = loops,
											 .pcontext = &host->context,
											 .gid = (gid_t) -1,
											 .uid = (uid_t) -1,
											 .fd_limit_per_thread = max_connections + 64,
											 .pt_serv_buf_size = READ_SIZE,
											 .max_http_header_data = 4096,
											 .retry_and_idle_policy = &no_pings};

	lws_set_log_level(LLL_ERR, emit);
	host->context = lws_create_context(&info);
	if (host->context == NULL)
	{
		log_write(
			LOG_LEVEL_ERROR,
			&(struct log_context){.hint = "install the Debian package libwebsockets-evlib-uv"},
			"libwebsockets does not start on a libuv loop");
		return false;
	}
	host->server = make_vhost(host->context, "server", CONTEXT_PORT_NO_LISTEN_SERVER);
	host->client = make_vhost(host->context, "client", CONTEXT_PORT_NO_LISTEN);
	if (host->client != NULL &&
		lws_init_vhost_client_ssl(
			&(struct lws_context_creation_info){.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT},
			host->client) != 0)
		host->client = NULL;
	if (host->server == NULL || host->client == NULL)
	{
		log_error("libwebsockets refuses its virtual hosts");
		lws_context_destroy(host->context);
		return false;
	}
	return true;
}

struct lws_host *
lws_host_of(struct loop *loop)
{
	struct lws_host **slot = loop_lws_slot(loop);

	if (*slot == NULL)
	{
		struct lws_host *host = calloc(1, sizeof(*host));

		if (host == NULL)
			return NULL;
		host->loop = loop;
		if (!set_up(host, loop_max_connections(loop)))
		{
			free(host);
			return NULL;
		}
		loop_join(loop, &host->member, on_loop_ends, host);
		*slot = host;
	}
	return (*slot)->ending ? NULL : *slot;
}

struct lws_vhost *
lws_host_server(struct lws_host *host)
{
	return host->server;
}

struct lws_vhost *
lws_host_client(struct lws_host *host)
{
	return host->client;
}

struct lws_context *
lws_host_context(struct lws_host *host)
{
	return host->context;
}
