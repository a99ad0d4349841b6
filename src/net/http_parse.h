/*
 * http_parse.h: the head of an HTTP/1.1 message, request or response. Pure.
 *
 * The target is kept byte for byte: signatures are computed over it. Strict where laxness lets two
 * parties disagree about where a message ends (RFC 9112, sections 2 to 6): lines end in CR LF,
 * no folded lines, no space before a colon, one length.
 */
#ifndef VA_NET_HTTP_PARSE_H
#define VA_NET_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_MAX_HEADERS 64

struct http_head
{
	const char *method; /* request */
	const char *target; /* request: as sent */
	int status; /* response */
	int minor; /* HTTP/1.minor */
	unsigned header_count;
	struct
	{
		const char *name; /* lower-cased */
		const char *value; /* without spaces around */
	} headers[HTTP_MAX_HEADERS];
	bool has_length;
	uint64_t length; /* Content-Length */
	bool chunked; /* Transfer-Encoding: chunked, and nothing else */
	bool keep_alive; /* what the version and Connection say */
	bool expect_100; /* Expect: 100-continue */
};

/* Where the head that starts at data ends (behind the empty line), 0 when it is not complete. */
size_t http_head_end(const char *data, size_t len);

/* Parses a complete head of len bytes in place (NULs are put behind the parts) into head, whose
 * pointers point into it. Returns 0, or the HTTP status to refuse with: 400, 431, 501, 505. */
int http_parse_request(char *data, size_t len, struct http_head *head);
int http_parse_response(char *data, size_t len, struct http_head *head);

/* The value of a header by its lower-case name, "" when absent; of several, the first. */
const char *http_head_get(const struct http_head *head, const char *name);

/* Whether the comma-separated value holds the token, case ignored. */
bool http_has_token(const char *value, const char *token);

/* A chunked body arriving in pieces of any size. Zero-initialised at the start. */
struct http_chunks
{
	uint64_t left; /* bytes of the present chunk still to come */
	int state;
	unsigned line; /* bytes of a chunk or trailer line seen */
	bool digits; /* the size line has a digit */
};

enum http_chunks_result
{
	HTTP_CHUNKS_MORE,
	HTTP_CHUNKS_END, /* *used tells where the next message starts */
	HTTP_CHUNKS_BAD
};

/* Decodes len bytes at data; body bytes are written to out (which may be data: never more than
 * were read) and counted in *out_len. */
enum http_chunks_result http_chunks_read(struct http_chunks *chunks, const char *data, size_t len,
										 size_t *used, char *out, size_t *out_len);

/* The standard phrase of a status. */
const char *http_status_phrase(int status);

#endif
