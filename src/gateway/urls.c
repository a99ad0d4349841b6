/*
 * urls.c: see urls.h.
 */
#include "gateway/urls.h"

#include <stdio.h>
#include <string.h>

static void
add_host(struct urls *u, const char *host, size_t len)
{
	bool ipv6 = memchr(host, ':', len) != NULL;

	if (u->count == URLS_MAX || len == 0 || len > 200)
		return;

	char *slot = u->hosts[u->count];

	snprintf(slot, sizeof(u->hosts[0]), "%s%.*s%s", ipv6 ? "[" : "", (int) len, host,
			 ipv6 ? "]" : "");
	for (unsigned i = 0; i < u->count; i++)
		if (strcmp(u->hosts[i], slot) == 0)
			return;
	u->count++;
}

static bool
is_any(const char *host, size_t len)
{
	static const char *const any[] = {"*", "0.0.0.0", "::", "localhost", "127.0.0.1", "::1"};

	for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++)
		if (strlen(any[i]) == len && memcmp(any[i], host, len) == 0)
			return true;
	return false;
}

static void
build_local(struct urls *u, const struct settings *s)
{
	const char *at = s->listen_addresses;

	u->secure = s->ssl_cert_file[0] != '\0';
	while (*at != '\0')
	{
		at += strspn(at, ", ");
		size_t len = strcspn(at, ", ");

		if (is_any(at, len))
		{
			add_host(u, "localhost", strlen("localhost"));
			add_host(u, "127.0.0.1", strlen("127.0.0.1"));
		}
		else
			add_host(u, at, len);
		at += len;
	}
}

static bool
build_public(struct urls *u, const char *url, struct va_error *err)
{
	const char *host;

	if (strncmp(url, "https://", 8) == 0)
		host = url + 8;
	else if (strncmp(url, "http://", 7) == 0)
		host = url + 7;
	else
		return va_fail(err, "voiceagent.public_url does not begin with https:// or http://");
	u->secure = host == url + 8;
	u->is_public = true;

	size_t host_len = strcspn(host, "/?#");
	const char *path = host + host_len;
	size_t path_len = strcspn(path, "?#");

	while (path_len > 0 && path[path_len - 1] == '/')
		path_len--;
	if (host_len == 0 || host_len >= sizeof(u->hosts[0]) || path_len >= sizeof(u->prefix))
		return va_fail(err, "voiceagent.public_url has no host, or is too long");
	memcpy(u->hosts[0], host, host_len);
	memcpy(u->prefix, path, path_len);
	u->count = 1;
	return true;
}

bool
urls_build(struct urls *u, const struct settings *s, struct va_error *err)
{
	memset(u, 0, sizeof(*u));
	if (s->public_url[0] != '\0')
		return build_public(u, s->public_url, err);
	build_local(u, s);
	return true;
}

static bool
has_prefix(const struct urls *u, const char *path)
{
	size_t len = strlen(u->prefix);

	return len > 0 && strncmp(path, u->prefix, len) == 0 && path[len] == '/';
}

const char *
urls_route(const struct urls *u, const char *path)
{
	return has_prefix(u, path) ? path + strlen(u->prefix) : path;
}

bool
urls_candidate(const struct urls *u, unsigned i, bool ws, uint16_t local_port, const char *target,
			   char out[URL_SIZE])
{
	const char *scheme = ws ? (u->secure ? "wss" : "ws") : (u->secure ? "https" : "http");
	const char *prefix = has_prefix(u, target) ? "" : u->prefix;
	int len;

	if (u->is_public)
		len = snprintf(out, URL_SIZE, "%s://%s%s%s", scheme, u->hosts[i], prefix, target);
	else
		len = snprintf(out, URL_SIZE, "%s://%s:%u%s", scheme, u->hosts[i], (unsigned) local_port,
					   target);
	return len > 0 && len < URL_SIZE;
}
