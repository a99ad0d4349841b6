/*
 * load_http.c: the generator's HTTP client: signed webhooks and signed WebSocket handshakes.
 *
 * Each exchange has a connection of its own, as a webhook from a large, distributed client has.
 * Signatures follow Twilio's "Webhooks security" page: the URL as it is requested, for a form the
 * sorted names and decoded values behind it; for a media stream the wss (here ws) URL alone.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void
make_sid(char out[35], const char *kind, unsigned number)
{
	static struct timespec started;

	if (started.tv_sec == 0)
		clock_gettime(CLOCK_REALTIME, &started);
	snprintf(out, 35, "%.2s%08x%08x%08x%08x", kind, (unsigned) started.tv_sec,
			 (unsigned) started.tv_nsec, (unsigned) getpid(), number);
}

static bool
request_begin(struct request *r, const struct url *url, int length)
{
	if (length < 0 || (size_t) length >= sizeof(r->text))
		return false;
	r->length = (size_t) length;
	r->sent = false;
	r->have = 0;
	r->status = 0;
	r->begun = clock_ns();
	r->fd = tcp_connect(url->host, url->port);
	return r->fd >= 0;
}

bool
request_answer(struct request *r, const struct load_options *o, const char *call_sid,
			   unsigned number)
{
	char from[16], body[1024], text[1536], signature[29];
	struct url url;

	if (!url_parse(o->webhook, strlen(o->webhook), &url))
		return false;
	snprintf(from, sizeof(from), "+1555%07u", number % 10000000);
	snprintf(
		text, sizeof(text),
		"%sAccountSid%sApiVersion2010-04-01CallSid%sCallStatusringingDirectioninboundFrom%sTo%s",
		o->webhook, o->account, call_sid, from, o->to);
	twilio_sign(o->token, text, signature);
	snprintf(body, sizeof(body),
			 "CallSid=%s&AccountSid=%s&From=%%2B%s&To=%%2B%s&CallStatus=ringing&Direction=inbound"
			 "&ApiVersion=2010-04-01",
			 call_sid, o->account, from + 1, o->to + 1);
	return request_begin(
		r, &url,
		snprintf(r->text, sizeof(r->text),
				 "POST %s HTTP/1.1\r\nHost: %s:%u\r\n"
				 "Content-Type: application/x-www-form-urlencoded\r\n"
				 "Content-Length: %zu\r\nX-Twilio-Signature: %s\r\n"
				 "I-Twilio-Idempotency-Token: %s-0\r\nUser-Agent: TwilioProxy/1.1\r\n"
				 "Connection: close\r\n\r\n%s",
				 url.path, url.host, url.port, strlen(body), signature, call_sid, body));
}

bool
request_upgrade(struct request *r, const struct load_options *o, const char *stream_url)
{
	char signature[29];
	struct url url;

	if (!url_parse(stream_url, strlen(stream_url), &url))
		return false;
	twilio_sign(o->token, stream_url, signature);
	return request_begin(r, &url,
						 snprintf(r->text, sizeof(r->text),
								  "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
								  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
								  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
								  "X-Twilio-Signature: %s\r\n\r\n",
								  url.path, url.host, url.port, signature));
}

/* True when the reply is whole: an upgrade's head, or a head and its Content-Length. */
static bool
reply_complete(struct request *r, bool closed)
{
	size_t head = http_head_length(r->reply, r->have);
	size_t value_len;
	const char *value;
	size_t length;

	if (head == 0)
		return false;
	r->status = (int) strtol(r->reply + strcspn(r->reply, " "), NULL, 10);
	r->body = r->reply + head;
	r->body_len = r->have - head;
	if (r->status == 101)
		return true;
	value = http_header(r->reply, head, "content-length", &value_len);
	if (value == NULL)
		return closed;
	length = strtoul(value, NULL, 10);
	return r->body_len >= length;
}

enum request_state
request_step(struct request *r)
{
	ssize_t n;

	if (!r->sent)
	{
		n = send(r->fd, r->text, r->length, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return REQUEST_PENDING;
		if (n != (ssize_t) r->length)
			return REQUEST_FAILED;
		r->sent = true;
	}
	n = recv(r->fd, r->reply + r->have, sizeof(r->reply) - 1 - r->have, 0);
	if (n < 0)
		return errno == EAGAIN ? REQUEST_PENDING : REQUEST_FAILED;
	r->have += (size_t) n;
	r->reply[r->have] = '\0';
	if (reply_complete(r, n == 0))
		return REQUEST_DONE;
	return n == 0 || r->have == sizeof(r->reply) - 1 ? REQUEST_FAILED : REQUEST_PENDING;
}

/* Copies what stands behind `key` up to the next quote. */
static bool
quoted_after(const char *text, const char *key, char *out, size_t size)
{
	const char *start = text ? strstr(text, key) : NULL;
	const char *end;

	if (start == NULL)
		return false;
	start += strlen(key);
	end = strchr(start, '"');
	if (end == NULL || (size_t) (end - start) >= size)
		return false;
	memcpy(out, start, (size_t) (end - start));
	out[end - start] = '\0';
	return true;
}

bool
answer_parse(const char *twiml, char *url, size_t url_size, char *token, size_t token_size)
{
	const char *stream = strstr(twiml, "<Stream ");
	const char *parameter = stream ? strstr(stream, "name=\"token\"") : NULL;

	return quoted_after(stream, " url=\"", url, url_size) &&
		   quoted_after(parameter, " value=\"", token, token_size);
}
