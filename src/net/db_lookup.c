/*
 * db_lookup.c: see db_lookup.h. Up to four addresses are handed on; libpq tries them in order.
 */
#include "net/db_lookup.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "net/loop.h"

#define MAX_ADDRESSES 4
#define HOST_MAX 255

struct db_lookup
{
	uv_getaddrinfo_t request;
	db_lookup_done done; /* NULL once cancelled */
	void *arg;
	char host[HOST_MAX + 1];
};

/* Takes the host to look up from the connection string. False when there is none. */
static bool
find_host(const char *conninfo, char *host)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	unsigned char numeric[16];
	bool has_address = false;

	*host = '\0';
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
	{
		if (o->val == NULL || *o->val == '\0')
			continue;
		if (strcmp(o->keyword, "hostaddr") == 0)
			has_address = true;
		else if (strcmp(o->keyword, "host") == 0 && strlen(o->val) <= HOST_MAX)
			snprintf(host, HOST_MAX + 1, "%s", o->val);
	}
	PQconninfoFree(options);
	if (*host == '\0' || *host == '/' || *host == '@' || has_address || strchr(host, ',') != NULL)
		return false;
	return inet_pton(AF_INET, host, numeric) != 1 && inet_pton(AF_INET6, host, numeric) != 1;
}

static void
on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *result)
{
	struct db_lookup *lookup = request->data;
	char hosts[MAX_ADDRESSES * (HOST_MAX + 1)] = "";
	char addresses[MAX_ADDRESSES * NI_MAXHOST] = "";
	char error[HOST_MAX + 40];
	int count = 0;

	for (struct addrinfo *a = result; a != NULL && count < MAX_ADDRESSES; a = a->ai_next)
	{
		char text[NI_MAXHOST];
		size_t h = strlen(hosts), n = strlen(addresses);

		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) !=
			0)
			continue;
		snprintf(hosts + h, sizeof(hosts) - h, "%s%s", count > 0 ? "," : "", lookup->host);
		snprintf(addresses + n, sizeof(addresses) - n, "%s%s", count > 0 ? "," : "", text);
		count++;
	}
	snprintf(error, sizeof(error), "host name \"%s\" not found", lookup->host);
	if (lookup->done != NULL && status == 0 && count > 0)
		lookup->done(lookup->arg, hosts, addresses, NULL);
	else if (lookup->done != NULL)
		lookup->done(lookup->arg, NULL, NULL, error);
	uv_freeaddrinfo(result);
	free(lookup);
}

struct db_lookup *
db_lookup_start(struct loop *loop, const char *conninfo, db_lookup_done done, void *arg)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct db_lookup *lookup = calloc(1, sizeof(*lookup));

	if (lookup == NULL)
		return NULL;
	lookup->request.data = lookup;
	lookup->done = done;
	lookup->arg = arg;
	if (find_host(conninfo, lookup->host) &&
		uv_getaddrinfo(loop_uv(loop), &lookup->request, on_looked_up, lookup->host, NULL, &hints) ==
			0)
		return lookup;
	free(lookup);
	return NULL;
}

void
db_lookup_cancel(struct db_lookup *lookup)
{
	lookup->done = NULL;
	uv_cancel((uv_req_t *) &lookup->request);
}
