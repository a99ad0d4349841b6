/*
 * smtp_client.h: one mail to a mail server (RFC 5321), over libcurl, in threads.
 *
 * TLS is verified. Each mail has a connection of its own: whether one that was left open may be used
 * with other credentials or another demand for TLS is a question that need not be asked so.
 */
#ifndef VA_NET_SMTP_CLIENT_H
#define VA_NET_SMTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct smtp_client;
struct smtp_call;

enum smtp_security
{
	SMTP_STARTTLS, /* begins in the clear and goes on only with TLS (port 587) */
	SMTP_TLS, /* TLS from the first byte (port 465) */
	SMTP_PLAIN /* none: for a server on the same machine */
};

struct smtp_options
{
	const char *host; /* a name or an address */
	unsigned port;
	enum smtp_security security;
	const char *user; /* NULL: no authentication */
	const char *password;
	const char *from; /* of the envelope, without brackets, as the next */
	const char *const *to; /* NULL-terminated */
	char *message; /* with CRLF line ends; taken over, freed with free() */
	size_t message_len;
	bool guard; /* refuse addresses on this machine and in private networks */
	unsigned connect_timeout_ms;
	unsigned timeout_ms;
};

struct smtp_reply
{
	bool accepted; /* the server has taken over the mail */
	bool doubtful; /* it was sent whole and the server's answer never came */
	bool guarded; /* the guard refused the address */
	int status; /* the server's refusal, else its last code; 0 when it said nothing */
	const char *words; /* the reply with this code, "" when it said nothing */
	const char *error; /* what went wrong, in plain words; NULL when accepted */
};

typedef void (*smtp_done)(void *arg, const struct smtp_reply *reply);

/* Lives until the loop ends, or until smtp_client_free. */
struct smtp_client *smtp_client_new(struct loop *loop);
void smtp_client_free(struct smtp_client *client);

/* done is called exactly once, never before this returns, unless cancelled. NULL, with the message
 * freed, when host or an address cannot be used, or memory ran out. */
struct smtp_call *smtp_client_send(struct smtp_client *client, const struct smtp_options *options,
								   smtp_done done, void *arg);
/* True when the mail may have been accepted all the same. */
bool smtp_client_cancel(struct smtp_call *call);

#endif
