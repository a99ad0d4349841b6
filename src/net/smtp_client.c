/*
 * smtp_client.c: see smtp_client.h.
 *
 * Whether a mail that got no answer was accepted is decided by two facts: the server had asked for
 * the text (354), and curl has taken the last byte of it. Before that nothing was accepted; after it
 * nobody knows, unless another code followed.
 */
#include "net/smtp_client.h"

#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/curl_loop.h"
#include "net/loop_internal.h"

#define WORDS_SIZE 1000
#define MAX_PER_HOST 8
#define GO_AHEAD 354

struct smtp_client
{
	struct garbage garbage;
	struct loop *loop;
	struct curl_loop *curl;
	struct smtp_call *calls;
	struct deadline telling;
	struct loop_member member;
	bool freed;
};

struct smtp_call
{
	struct smtp_call *next, *prev;
	struct smtp_client *client;
	CURL *easy;
	struct curl_slist *to;
	struct curl_guard guard;
	char *message;
	size_t len, at;
	bool read_whole;
	bool asked; /* the server wants the text: 354 came */
	char words[WORDS_SIZE];
	size_t words_len;
	int words_code;
	bool words_end; /* the reply that `words` holds is complete */
	char refusal[WORDS_SIZE]; /* the last reply of 4xx or 5xx: a good-bye may follow it */
	int refusal_code;
	bool finished;
	CURLcode result;
	char error[CURL_ERROR_SIZE];
	smtp_done done;
	void *arg;
};

/* --- what curl asks and tells --- */

static size_t
on_read(char *into, size_t size, size_t count, void *arg)
{
	struct smtp_call *call = arg;
	size_t room = size * count;
	size_t len = call->len - call->at < room ? call->len - call->at : room;

	memcpy(into, call->message + call->at, len);
	call->at += len;
	if (call->at == call->len)
		call->read_whole = true;
	return len;
}

/* A line of a reply: "250-first", "250 last". */
static size_t
on_line(char *data, size_t size, size_t count, void *arg)
{
	struct smtp_call *call = arg;
	size_t len = size * count;
	size_t text = len;
	int code = 0;

	while (text > 0 && (data[text - 1] == '\r' || data[text - 1] == '\n'))
		text--;
	for (size_t i = 0; i < 3 && i < text && data[i] >= '0' && data[i] <= '9'; i++)
		code = code * 10 + data[i] - '0';
	if (code == GO_AHEAD)
		call->asked = true;
	if (call->words_end)
		call->words_len = 0;
	if (call->words_len > 0 && call->words_len < sizeof(call->words) - 1)
		call->words[call->words_len++] = ' ';
	if (text > sizeof(call->words) - 1 - call->words_len)
		text = sizeof(call->words) - 1 - call->words_len;
	memcpy(call->words + call->words_len, data, text);
	call->words_len += text;
	call->words[call->words_len] = '\0';
	call->words_code = code;
	call->words_end = len > 3 && data[3] != '-';
	if (code >= 400)
	{
		call->refusal_code = code;
		memcpy(call->refusal, call->words, call->words_len + 1);
	}
	return len;
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	(void) data;
	(void) arg;
	return size * count;
}

/* --- the end of a call --- */

static void
detach_call(struct smtp_call *call)
{
	if (call->prev != NULL)
		call->prev->next = call->next;
	else
		call->client->calls = call->next;
	if (call->next != NULL)
		call->next->prev = call->prev;
	call->next = call->prev = NULL;
	curl_loop_remove(call->client->curl, call->easy);
}

static void
free_call(struct smtp_call *call)
{
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->to);
	free(call->message);
	free(call);
}

static const char *
error_words(const struct smtp_call *call)
{
	if (call->guard.refused)
		return "the address is on this machine or in a private network";
	switch (call->result)
	{
		case CURLE_OK: return NULL;
		case CURLE_COULDNT_RESOLVE_HOST: return "name not found";
		case CURLE_COULDNT_CONNECT: return "connection refused or unreachable";
		case CURLE_OPERATION_TIMEDOUT:
			return call->words_code == 0 ? "timed out connecting"
										 : "timed out waiting for the answer";
		case CURLE_PEER_FAILED_VERIFICATION: return "certificate not accepted";
		case CURLE_SSL_CONNECT_ERROR: return "TLS handshake failed";
		case CURLE_USE_SSL_FAILED: return "the server offers no TLS";
		case CURLE_LOGIN_DENIED: return "user or password not accepted";
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING: return "connection lost while receiving";
		case CURLE_SEND_ERROR: return "connection lost while sending";
		case CURLE_OUT_OF_MEMORY: return "out of memory";
		default: return call->error[0] != '\0' ? call->error : curl_easy_strerror(call->result);
	}
}

/* No other answer than the request for the text, and all of the text went out. */
static bool
in_doubt(const struct smtp_call *call)
{
	return call->asked && call->read_whole && call->words_code == GO_AHEAD;
}

static void
tell(struct smtp_call *call)
{
	bool refused = call->result != CURLE_OK && call->refusal_code != 0;
	struct smtp_reply reply = {
		.accepted = call->result == CURLE_OK,
		.doubtful = call->result != CURLE_OK && in_doubt(call),
		.guarded = call->guard.refused,
		.status = refused ? call->refusal_code : call->words_code,
		.words = refused ? call->refusal : call->words,
		.error = error_words(call),
	};

	call->done(call->arg, &reply);
}

static void
on_telling(void *arg)
{
	struct smtp_client *client = arg;

	while (!client->freed)
	{
		struct smtp_call *found = NULL;

		for (struct smtp_call *call = client->calls; call != NULL; call = call->next)
		{
			if (call->finished)
				found = call;
		}
		if (found == NULL)
			return;
		detach_call(found);
		tell(found);
		free_call(found);
	}
}

static void
on_finished(void *arg, CURL *easy, CURLcode result)
{
	struct smtp_client *client = arg;
	struct smtp_call *call = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &call);
	call->finished = true;
	call->result = result;
	if (!deadline_is_set(&client->telling))
		deadline_set(client->loop, &client->telling, 0, on_telling, client);
}

/* --- requests --- */

static bool
set_envelope(struct smtp_call *call, const struct smtp_options *o)
{
	char path[300];

	for (const char *const *to = o->to; *to != NULL; to++)
	{
		struct curl_slist *longer;

		if (strpbrk(*to, "<>\r\n ") != NULL || strlen(*to) > 254)
			return false;
		snprintf(path, sizeof(path), "<%s>", *to);
		longer = curl_slist_append(call->to, path);
		if (longer == NULL)
			return false;
		call->to = longer;
	}
	if (call->to == NULL || strpbrk(o->from, "<>\r\n ") != NULL || strlen(o->from) > 254)
		return false;
	snprintf(path, sizeof(path), "<%s>", o->from);
	return curl_easy_setopt(call->easy, CURLOPT_MAIL_FROM, path) == CURLE_OK &&
		   curl_easy_setopt(call->easy, CURLOPT_MAIL_RCPT, call->to) == CURLE_OK;
}

static bool
set_server(struct smtp_call *call, const struct smtp_options *o)
{
	static const char host_chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:";
	CURL *easy = call->easy;
	bool v6 = strchr(o->host, ':') != NULL;
	char url[350];
	bool good = true;

	if (o->host[0] == '\0' || strlen(o->host) > 253 || o->host[strspn(o->host, host_chars)] != '\0')
		return false;
	snprintf(url, sizeof(url), "%s://%s%s%s:%u", o->security == SMTP_TLS ? "smtps" : "smtp",
			 v6 ? "[" : "", o->host, v6 ? "]" : "", o->port);
	if (getenv("SSL_CERT_FILE") != NULL)
		good &= curl_easy_setopt(easy, CURLOPT_CAINFO, getenv("SSL_CERT_FILE")) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps") == CURLE_OK;
	good &= curl_easy_setopt(
				easy, CURLOPT_USE_SSL,
				(long) (o->security == SMTP_PLAIN ? CURLUSESSL_NONE : CURLUSESSL_ALL)) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
	if (o->user != NULL)
	{
		good &= curl_easy_setopt(easy, CURLOPT_USERNAME, o->user) == CURLE_OK;
		good &= curl_easy_setopt(easy, CURLOPT_PASSWORD, o->password != NULL ? o->password : "") ==
				CURLE_OK;
	}
	call->guard.on = o->guard;
	return good && curl_guard_install(easy, &call->guard);
}

static bool
set_transfer(struct smtp_call *call, const struct smtp_options *o)
{
	CURL *easy = call->easy;
	bool good = true;

	good &= curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) call->len) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_READDATA, call) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_line) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	good &=
		curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) o->connect_timeout_ms) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) o->timeout_ms) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_PRIVATE, call) == CURLE_OK;
	return good;
}

struct smtp_call *
smtp_client_send(struct smtp_client *client, const struct smtp_options *options, smtp_done done,
				 void *arg)
{
	struct smtp_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
	{
		free(options->message);
		return NULL;
	}
	call->client = client;
	call->done = done;
	call->arg = arg;
	call->message = options->message;
	call->len = options->message_len;
	call->easy = curl_easy_init();
	if (call->easy == NULL || !set_server(call, options) || !set_envelope(call, options) ||
		!set_transfer(call, options))
	{
		free_call(call);
		return NULL;
	}
	call->next = client->calls;
	if (call->next != NULL)
		call->next->prev = call;
	client->calls = call;
	curl_loop_add(client->curl, call->easy);
	return call;
}

bool
smtp_client_cancel(struct smtp_call *call)
{
	/* Accepted, and not told yet, is told by nobody else. */
	bool doubtful = in_doubt(call) || (call->finished && call->result == CURLE_OK);

	detach_call(call);
	free_call(call);
	return doubtful;
}

static void
on_loop_ends(void *arg)
{
	smtp_client_free(arg);
}

struct smtp_client *
smtp_client_new(struct loop *loop)
{
	struct smtp_client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	client->loop = loop;
	client->curl = curl_loop_new(loop, MAX_PER_HOST, on_finished, client);
	if (client->curl == NULL)
	{
		free(client);
		return NULL;
	}
	loop_join(loop, &client->member, on_loop_ends, client);
	return client;
}

void
smtp_client_free(struct smtp_client *client)
{
	while (client->calls != NULL)
		smtp_client_cancel(client->calls);
	client->freed = true;
	loop_leave(&client->member);
	deadline_clear(&client->telling);
	curl_loop_free(client->curl);
	loop_free_later(client->loop, &client->garbage);
}
