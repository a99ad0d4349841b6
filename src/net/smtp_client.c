/*
 * smtp_client.c: see smtp_client.h.
 *
 * Each mail has a thread: libcurl waits for the reply to a mail's text, and for the one to QUIT, without
 * going back to its caller (its documentation lists this among the known restrictions of SMTP), and a
 * server that takes its time there would hold up the loop and everything else on it.
 *
 * Whether a mail that got no answer was accepted is decided by two facts: the server had asked for
 * the text (354), and curl has taken the last byte of it. Before that nothing was accepted; after it
 * nobody knows, unless the next reply refuses it. (Nonsense is no refusal, and neither is what is
 * answered to the QUIT that curl says when it has waited long enough.)
 */
#include "net/smtp_client.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "net/curl_loop.h"
#include "net/loop.h"
#include "net/loop_internal.h"

#define WORDS_SIZE 1000
#define MAX_THREADS 64
#define MAX_PER_HOST 8
#define GO_AHEAD 354
/* How long curl may go on after the time is up: it says QUIT then, and waits. */
#define GRACE_MS 500
/* How long the end of the loop waits for threads; curl looks every second whether it is wanted. */
#define LEAVING_MS 3000

/* Touched by the loop alone, but for mutex and async. */
struct smtp_client
{
	struct garbage garbage;
	struct loop *loop;
	struct smtp_call *calls; /* the oldest last */
	unsigned threads;
	uv_mutex_t mutex; /* of what a call shares with its thread */
	uv_async_t *async; /* a thread is done */
	struct deadline starting;
	struct loop_member member;
	bool freed;
};

/* A thread has its call for itself, but for what the mutex guards. */
struct smtp_call
{
	struct smtp_call *next, *prev;
	struct smtp_client *client;
	CURL *easy;
	struct curl_slist *to;
	struct curl_guard guard;
	char server[300]; /* host and port */
	uint64_t until_ms;
	uv_thread_t thread;
	bool started; /* it has one */
	bool cancelled; /* nobody waits for it. Guarded by the mutex, as all up to `finished` */
	bool read_whole;
	bool asked; /* the server wants the text: 354 came */
	bool answered; /* a reply has followed it, with this code */
	int answer_code;
	bool finished;
	char *message;
	size_t len, at;
	char words[WORDS_SIZE];
	size_t words_len;
	int words_code;
	bool words_end; /* the reply that `words` holds is complete */
	char refusal[WORDS_SIZE]; /* the last reply of 4xx or 5xx: a good-bye may follow it */
	int refusal_code;
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
	bool cancelled;

	memcpy(into, call->message + call->at, len);
	call->at += len;
	/* Either the last byte went out before it was cancelled, or it never does. */
	uv_mutex_lock(&call->client->mutex);
	cancelled = call->cancelled;
	if (call->at == call->len && !cancelled)
		call->read_whole = true;
	uv_mutex_unlock(&call->client->mutex);
	return cancelled ? CURL_READFUNC_ABORT : len;
}

/* About once a second, also while curl waits on its own. */
static int
on_progress(void *arg, curl_off_t total_in, curl_off_t in, curl_off_t total_out, curl_off_t out)
{
	struct smtp_call *call = arg;
	bool cancelled;

	(void) total_in, (void) in, (void) total_out, (void) out;
	uv_mutex_lock(&call->client->mutex);
	cancelled = call->cancelled;
	uv_mutex_unlock(&call->client->mutex);
	return cancelled || uv_hrtime() / 1000000 > call->until_ms + GRACE_MS;
}

static void
note_code(struct smtp_call *call, int code)
{
	uv_mutex_lock(&call->client->mutex);
	if (call->asked && !call->answered)
	{
		call->answered = true;
		call->answer_code = code;
	}
	if (code == GO_AHEAD)
		call->asked = true;
	uv_mutex_unlock(&call->client->mutex);
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
	note_code(call, code);
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
free_call(struct smtp_call *call)
{
	if (call->easy != NULL)
		curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->to);
	free(call->message);
	free(call);
}

/* Out of the list, once its thread (if it had one) is done. */
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
	if (call->started)
	{
		uv_thread_join(&call->thread);
		call->client->threads--;
	}
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
		case CURLE_ABORTED_BY_CALLBACK:
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

/* All of the text went out, and the server has not said that it does not take it. */
static bool
in_doubt(const struct smtp_call *call)
{
	return call->asked && call->read_whole && call->answer_code < 400;
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

/* One that is over, cancelled or not; NULL: none. */
static struct smtp_call *
find_finished(struct smtp_client *client)
{
	struct smtp_call *found = NULL;

	uv_mutex_lock(&client->mutex);
	for (struct smtp_call *call = client->calls; call != NULL; call = call->next)
	{
		if (call->finished)
			found = call;
	}
	uv_mutex_unlock(&client->mutex);
	return found;
}

static void start_waiting(void *arg);

static void
collect(struct smtp_client *client)
{
	struct smtp_call *call;

	while (!client->freed && (call = find_finished(client)) != NULL)
	{
		detach_call(call);
		if (!call->cancelled)
			tell(call);
		free_call(call);
	}
	if (!client->freed)
		start_waiting(client);
}

static void
on_async(uv_async_t *async)
{
	collect(async->data);
}

/* --- threads --- */

static void
perform(void *arg)
{
	struct smtp_call *call = arg;
	CURLcode result = curl_easy_perform(call->easy);

	curl_easy_cleanup(call->easy);
	call->easy = NULL;
	call->result = result;
	uv_mutex_lock(&call->client->mutex);
	call->finished = true;
	/* Within the mutex: the client may be gone as soon as all are known to be done. */
	uv_async_send(call->client->async);
	uv_mutex_unlock(&call->client->mutex);
}

/* Gives a call its thread; false: it cannot have one. Signals are for the loop's thread alone. */
static bool
start(struct smtp_call *call)
{
	uint64_t now_ms = uv_hrtime() / 1000000;
	sigset_t all, before;

	if (now_ms >= call->until_ms || curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS,
													 (long) (call->until_ms - now_ms)) != CURLE_OK)
		return false;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	call->started = uv_thread_create(&call->thread, perform, call) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	call->client->threads += call->started;
	return call->started;
}

static bool
has_room(const struct smtp_call *wanted)
{
	unsigned there = 0;

	for (struct smtp_call *call = wanted->client->calls; call != NULL; call = call->next)
		there += call->started && strcmp(call->server, wanted->server) == 0;
	return wanted->client->threads < MAX_THREADS && there < MAX_PER_HOST;
}

/* The oldest first. One whose time is up before its turn has come was not sent. */
static void
start_waiting(void *arg)
{
	struct smtp_client *client = arg;
	struct smtp_call *call = client->calls;
	bool over = false;

	while (call != NULL && call->next != NULL)
		call = call->next;
	for (; call != NULL; call = call->prev)
	{
		if (call->started || call->finished || !has_room(call) || start(call))
			continue;
		call->result = CURLE_OPERATION_TIMEDOUT;
		call->finished = true;
		over = true;
	}
	if (over)
		uv_async_send(client->async);
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
	snprintf(call->server, sizeof(call->server), "%s:%u", o->host, o->port);
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
	good &= curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_XFERINFODATA, call) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error) == CURLE_OK;
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
	call->until_ms = uv_hrtime() / 1000000 + options->timeout_ms;
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
	if (!deadline_is_set(&client->starting))
		deadline_set(client->loop, &client->starting, 0, start_waiting, client);
	return call;
}

bool
smtp_client_cancel(struct smtp_call *call)
{
	struct smtp_client *client = call->client;
	bool doubtful;

	uv_mutex_lock(&client->mutex);
	call->cancelled = true;
	/* Accepted, and not told yet, is told by nobody else. */
	doubtful = in_doubt(call) || (call->finished && call->result == CURLE_OK);
	uv_mutex_unlock(&client->mutex);
	if (!call->started)
	{
		detach_call(call);
		free_call(call);
	}
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
	client->async = calloc(1, sizeof(*client->async));
	if (client->async == NULL || !curl_ready() || uv_mutex_init(&client->mutex) != 0)
	{
		free(client->async);
		free(client);
		return NULL;
	}
	uv_async_init(loop_uv(loop), client->async, on_async);
	client->async->data = client;
	loop_join(loop, &client->member, on_loop_ends, client);
	return client;
}

static void
on_async_closed(uv_handle_t *handle)
{
	free(handle);
}

void
smtp_client_free(struct smtp_client *client)
{
	struct smtp_call *call;

	client->freed = true;
	loop_leave(&client->member);
	deadline_clear(&client->starting);
	for (struct smtp_call *next, *each = client->calls; each != NULL; each = next)
	{
		next = each->next;
		smtp_client_cancel(each);
	}
	for (unsigned waited = 0; client->calls != NULL && waited < LEAVING_MS; waited += 10)
	{
		while ((call = find_finished(client)) != NULL)
		{
			detach_call(call);
			free_call(call);
		}
		if (client->calls != NULL)
			usleep(10000);
	}
	if (client->calls != NULL)
		return; /* a look-up of a name that cannot be broken off: what its thread sees must stay */
	uv_close((uv_handle_t *) client->async, on_async_closed);
	uv_mutex_destroy(&client->mutex);
	loop_free_later(client->loop, &client->garbage);
}
