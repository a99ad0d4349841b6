/*
 * net_tls_test.c: HTTP and WebSockets over TLS with a certificate made on the spot: what is
 * trusted, what is not, and new certificates while old connections live.
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/log.h"
#include "net/ws.h"
#include "net_test.h"
#include "tap.h"

static struct loop *loop;
static char folder[] = "/tmp/net_tls_test.XXXXXX";

struct side
{
	struct ws *ws;
	unsigned opened, closed, messages;
	size_t total;
	bool echo;
	char reason[200];
};

static struct side server_side;

static void
on_open(void *arg, struct ws *ws)
{
	struct side *side = arg;

	side->ws = ws;
	side->opened++;
}

static void
on_message(void *arg, struct ws *ws, const char *data, size_t len, bool binary)
{
	struct side *side = arg;

	side->messages++;
	side->total += len;
	if (side->echo)
		ws_send_copy(ws, binary ? WS_BINARY : WS_TEXT, data, len, false);
}

static void
on_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	struct side *side = arg;

	(void) ws;
	(void) code;
	(void) http_status;
	side->closed++;
	side->ws = NULL;
	snprintf(side->reason, sizeof(side->reason), "%s", reason);
}

static const struct ws_handlers handlers = {
	.open = on_open, .message = on_message, .close = on_close};
static const struct ws_limits wide = {2000000, 20000000};

static int
on_upgrade(void *arg, const struct http_request *request, struct ws_limits *limits,
		   const struct ws_handlers **ws_handlers, void **ws_arg, struct http_exchange *headers_of)
{
	(void) arg;
	(void) request;
	(void) headers_of;
	memset(&server_side, 0, sizeof(server_side));
	server_side.echo = true;
	*limits = wide;
	*ws_handlers = &handlers;
	*ws_arg = &server_side;
	return 0;
}

static void
on_request(void *arg, struct http_exchange *ex, const struct http_request *request)
{
	(void) arg;
	http_answer(ex, 200, "text/plain", request->target, strlen(request->target), NULL);
}

static const char *
file(const char *name)
{
	static char paths[4][100];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

/* A certificate that signs itself, for the names given as in an OpenSSL configuration. */
static void
make_certificate(const char *cert_name, const char *key_name, const char *names)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	FILE *out;

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 36000);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *) cert_name, -1,
							   -1, 0);
	X509_set_issuer_name(cert, subject);
	X509_set_pubkey(cert, key);
	X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
	if (X509_sign(cert, key, EVP_sha256()) == 0)
		abort();
	out = fopen(file(cert_name), "w");
	PEM_write_X509(out, cert);
	fclose(out);
	out = fopen(file(key_name), "w");
	PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	fclose(out);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static bool
open_ws(struct side *side, const char *host, uint16_t port)
{
	char url[100];

	memset(side, 0, sizeof(*side));
	snprintf(url, sizeof(url), "wss://%s:%u/p?q", host, port);
	ws_connect(loop, url, NULL, 5000, wide, &handlers, side);
	run_until(loop, 10, side->opened || side->closed);
	return side->opened == 1;
}

static void
test_ws(uint16_t port)
{
	static struct side side, other;
	static char big[1500000];

	ok(open_ws(&side, "127.0.0.1", port), "a trusted certificate for an address: %s", side.reason);
	memset(big, 'q', sizeof(big));
	for (int i = 0; i < 3; i++)
		ws_send_copy(side.ws, WS_TEXT, big, sizeof(big), false);
	run_until(loop, 20, side.messages == 3);
	ok(side.messages == 3 && side.total == 3 * sizeof(big),
	   "large messages go there and back, through full buffers");
	for (int i = 0; i < 500; i++)
		ws_send_copy(side.ws, WS_BINARY, big, 100, false);
	run_until(loop, 20, side.messages == 503);
	is_int(side.messages, 503, "and many small ones, of which a read brings several");
	ok(open_ws(&other, "localhost", port), "and for a name: %s", other.reason);
	ws_close(other.ws, 1000, "");
	ws_close(side.ws, 1000, "");
	run_until(loop, 10, side.closed && other.closed);
	is_int(side.closed + other.closed, 2, "both close");
}

static void
test_reload(struct http_server *server, uint16_t port)
{
	static struct side old, fresh;

	ok(open_ws(&old, "127.0.0.1", port), "a connection before");
	log_set_level(LOG_LEVEL_ERROR + 1);
	ok(!http_server_reload_tls(server, file("good"), file("strange.key")),
	   "a key that does not belong to the certificate is refused");
	ok(!http_server_reload_tls(server, file("nowhere"), file("good.key")),
	   "a file that is not there as well");
	log_set_level(LOG_LEVEL_WARNING);
	ok(open_ws(&fresh, "127.0.0.1", port), "and the old certificate stays in use");
	ws_close(fresh.ws, 1000, "");
	run_until(loop, 10, fresh.closed);
	ok(http_server_reload_tls(server, file("strange"), file("strange.key")), "another pair");
	ok(!open_ws(&fresh, "127.0.0.1", port), "is used from now on: %s", fresh.reason);
	ok(strstr(fresh.reason, "certificate not accepted") != NULL, "and not trusted");
	ws_send_copy(old.ws, WS_TEXT, "still", 5, false);
	run_until(loop, 10, old.messages == 1);
	is_int(old.messages, 1, "the connection from before lives on");
	ws_close(old.ws, 1000, "");
	run_until(loop, 10, old.closed);
	http_server_reload_tls(server, file("other"), file("other.key"));
	ok(!open_ws(&fresh, "127.0.0.1", port), "a trusted one for another name is not taken: %s",
	   fresh.reason);
}

static void
test_plain_peer(uint16_t port)
{
	static struct raw_input input;
	int fd = raw_connect(port, 0);

	raw_send(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 28);
	run_until(loop, 5, raw_read(fd, &input) && input.ended);
	ok(input.ended && strstr(input.data, "HTTP/1.1 200") == NULL, "plain HTTP is not answered");
	close(fd);
}

int
main(void)
{
	struct http_server_handlers server_handlers = {.request = on_request, .upgrade = on_upgrade};
	struct http_server_options options = {
		.addresses = "localhost", .max_connections = 20, .max_body = 1000, .request_timeout_s = 5};
	struct http_server *server;
	char path[200];

	plan(0);
	log_setup("net_tls_test", true, LOG_LEVEL_WARNING);
	if (mkdtemp(folder) == NULL)
		abort();
	make_certificate("good", "good.key", "DNS:localhost,IP:127.0.0.1");
	make_certificate("other", "other.key", "DNS:elsewhere.example");
	make_certificate("strange", "strange.key", "DNS:localhost,IP:127.0.0.1");
	/* What the client trusts: the first two. */
	snprintf(path, sizeof(path), "cat %s/good %s/other > %s/trusted", folder, folder, folder);
	if (system(path) != 0)
		abort();
	setenv("SSL_CERT_FILE", file("trusted"), 1);
	setenv("SSL_CERT_DIR", folder, 1);
	loop = loop_new(NULL, false, 100);
	options.ports[0] = free_port();
	options.cert_file = file("good");
	options.key_file = file("good.key");
	server = http_server_new(loop, &options, &server_handlers);
	ok(server != NULL, "a TLS server on port %u", options.ports[0]);
	test_ws(options.ports[0]);
	test_plain_peer(options.ports[0]);
	test_reload(server, options.ports[0]);
	ok(run_until(loop, 5, http_server_connections(server) == 0), "all connections end");
	http_server_close(server);
	loop_stop(loop);
	loop_run(loop);
	loop_free(loop);
	snprintf(path, sizeof(path), "rm -r %s", folder);
	return system(path) == 0 ? done() : 1;
}
