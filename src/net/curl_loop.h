/*
 * curl_loop.h: libcurl's multi interface on our loop, for the client of HTTP, and what the client of
 * SMTP has in common with it.
 *
 * Not for use outside net.
 */
#ifndef VA_NET_CURL_LOOP_H
#define VA_NET_CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>

struct loop;
struct curl_loop;

/* A transfer is over. Called from within curl: no function of this file and nothing of curl may be
 * called, so the client notes it and acts in a turn of its own. */
typedef void (*curl_loop_finished)(void *arg, CURL *easy, CURLcode result);

/* curl is initialised, once for the program; false: it cannot be used. */
bool curl_ready(void);

/* NULL when out of memory, or curl cannot be used. */
struct curl_loop *curl_loop_new(struct loop *loop, unsigned max_per_host,
								curl_loop_finished finished, void *arg);
/* Every transfer must have been removed. */
void curl_loop_free(struct curl_loop *curl);

/* Begins a transfer, or takes it out of curl's hands; its data stay readable. */
void curl_loop_add(struct curl_loop *curl, CURL *easy);
void curl_loop_remove(struct curl_loop *curl, CURL *easy);

/* Which addresses a transfer may reach. Every socket of curl is opened through it. */
struct curl_guard
{
	bool on; /* none on this machine or in a private network */
	bool refused; /* it was tried; curl's own error does not say so */
};

/* To be called for every transfer; guard must live as long. False when out of memory. */
bool curl_guard_install(CURL *easy, struct curl_guard *guard);
/* For a transfer that may use a connection which another one left behind: may it be this one? */
bool curl_guard_allows(struct curl_guard *guard, const char *remote_ip);

#endif
