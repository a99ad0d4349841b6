/*
 * files.c: see files.h.
 *
 * One piece is read while none is being sent: a download holds 64 KiB, however large the file is and
 * however slow its reader. Downloads are few at once, because each may ask the database, whose
 * connections are the calls'.
 *
 * A link that does not open says nothing about why: wrong, expired and deleted look the same. What is
 * sent is marked as a download of its own type and nothing to run, since it may have been written by
 * anybody and comes from the address that serves webhooks.
 */
#include "gateway/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/download.h"
#include "core/form.h"
#include "net/db.h"
#include "net/file_read.h"
#include "net/log.h"

#define MAX_DOWNLOADS 16
#define PIECE ((size_t) 64 * 1024)
#define TIMEOUT_MS 5000
#define ID_LENGTH 36
#define QUERY_MAX 512
#define HEADER_MAX 128 /* of a request's header that counts here; a longer one is none */
#define DISPOSITION_SIZE 4096
#define HEADERS_SIZE (DISPOSITION_SIZE + 512)

struct download
{
	struct gateway *gateway;
	struct http_exchange *exchange; /* NULL once answered */
	char range[HEADER_MAX], if_range[HEADER_MAX], if_none_match[HEADER_MAX];
	char etag[80];
	char *media_type;
	char *headers; /* of the answer */
	uint64_t bytes; /* that the database knows of */
	struct file_read *file;
	struct http_body *body;
	uint64_t at, left;
};

static void
download_free(struct download *d)
{
	d->gateway->download_count--;
	file_read_close(d->file);
	free(d->media_type);
	free(d->headers);
	free(d);
}

static void
answer_words(struct http_exchange *ex, int status, const char *words, const char *headers)
{
	http_answer(ex, status, "text/plain; charset=utf-8", words, strlen(words), headers);
}

static void
refuse_link(struct gateway *g, struct http_exchange *ex)
{
	gateway_reject(g, REJECT_LINK);
	answer_words(ex, 403, "this link is not valid, or not any more\n", NULL);
}

/* ---- sending ---- */

static void
on_more(void *arg, struct http_body *body)
{
	struct download *d = arg;

	d->body = body;
	if (!file_read_piece(d->file, d->at, d->left < PIECE ? (size_t) d->left : PIECE))
	{
		http_body_abort(body);
		download_free(d);
	}
}

static void
on_gone(void *arg)
{
	download_free(arg);
}

static const struct http_body_handlers body_handlers = {on_more, on_gone};

static void
on_piece(void *arg, char *data, ssize_t len)
{
	struct download *d = arg;
	struct http_body *body = d->body;

	if (len <= 0) /* an error of the disk, or the file was cut short meanwhile */
	{
		free(data);
		log_warning("a stored file could not be read to its end");
		http_body_abort(body);
		download_free(d);
		return;
	}
	d->at += (uint64_t) len;
	d->left -= (uint64_t) len;
	/* The last piece ends the download, and each may, when the peer is gone. */
	if (d->left == 0)
		download_free(d);
	http_body_piece(body, data, (size_t) len);
}

/* ---- the head ---- */

/* "*", or a list that holds the tag. A weak tag is compared like a strong one (RFC 9110, 13.1.2). */
static bool
tag_matches(const char *header, const char *etag)
{
	return strcmp(header, "*") == 0 || strstr(header, etag) != NULL;
}

static void
answer_unchanged(struct download *d)
{
	char headers[128];

	snprintf(headers, sizeof(headers), "ETag: %s\r\n", d->etag);
	http_answer(d->exchange, 304, NULL, "", 0, headers);
	download_free(d);
}

static void
answer_beyond(struct download *d, uint64_t size)
{
	char headers[64];

	snprintf(headers, sizeof(headers), "Content-Range: bytes */%" PRIu64 "\r\n", size);
	answer_words(d->exchange, 416, "the file has no such bytes\n", headers);
	download_free(d);
}

static void
begin(struct download *d, uint64_t size)
{
	/* With a condition that does not hold, a part would be of another file than the reader has. */
	bool whole = d->if_range[0] != '\0' && strcmp(d->if_range, d->etag) != 0;
	enum download_range range = download_range(whole ? "" : d->range, size, &d->at, &d->left);
	struct http_exchange *ex = d->exchange;
	size_t len = strlen(d->headers);

	if (range == DOWNLOAD_BEYOND)
	{
		answer_beyond(d, size);
		return;
	}
	if (range == DOWNLOAD_PART)
		snprintf(d->headers + len, HEADERS_SIZE - len,
				 "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", d->at,
				 d->at + d->left - 1, size);
	d->exchange = NULL;
	if (!http_answer_begin(ex, range == DOWNLOAD_PART ? 206 : 200, d->media_type, d->left,
						   d->headers, &body_handlers, d))
		download_free(d);
}

static void
on_opened(void *arg, uint64_t size, const char *error)
{
	struct download *d = arg;
	struct log_context ctx = {
		.detail = error,
		.hint = "Files lie on the database's host: a gateway elsewhere does not have them."};

	if (error != NULL)
		d->file = NULL;
	else if (size == d->bytes)
	{
		begin(d, size);
		return;
	}
	else
		ctx = (struct log_context){.detail = "Its length is not what was stored."};
	log_write(LOG_LEVEL_WARNING, &ctx, "a stored file cannot be sent");
	answer_words(d->exchange, 500, "the file cannot be read\n", NULL);
	download_free(d);
}

static const struct file_read_handlers file_handlers = {on_opened, on_piece};

/* ---- the link ---- */

static bool
write_headers(struct download *d, const char *name)
{
	char disposition[DISPOSITION_SIZE];
	struct buf b;
	int len;

	buf_init(&b, disposition, sizeof(disposition));
	download_disposition(&b, name);
	d->headers = malloc(HEADERS_SIZE);
	if (d->headers == NULL || b.overflow)
		return false;
	len = snprintf(d->headers, HEADERS_SIZE,
				   "Content-Disposition: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n"
				   "Cache-Control: private\r\nX-Content-Type-Options: nosniff\r\n"
				   "Content-Security-Policy: sandbox\r\nReferrer-Policy: no-referrer\r\n",
				   disposition, d->etag);
	return len > 0 && len < HEADERS_SIZE - 128;
}

static void
open_file(struct download *d, const PGresult *row)
{
	const char *hash = PQgetvalue(row, 0, 4);

	d->bytes = strtoull(PQgetvalue(row, 0, 3), NULL, 10);
	snprintf(d->etag, sizeof(d->etag), "\"%s\"", hash[0] != '\0' ? hash : PQgetvalue(row, 0, 3));
	d->media_type = strdup(PQgetvalue(row, 0, 2));
	if (d->if_none_match[0] != '\0' && tag_matches(d->if_none_match, d->etag))
	{
		answer_unchanged(d);
		return;
	}
	if (d->media_type == NULL || !write_headers(d, PQgetvalue(row, 0, 1)) ||
		(d->file = file_read_open(d->gateway->loop, PQgetvalue(row, 0, 0), &file_handlers, d)) ==
			NULL)
	{
		answer_words(d->exchange, 503, "out of memory\n", NULL);
		download_free(d);
	}
}

static void
answered(void *arg, const struct db_reply *reply)
{
	struct download *d = arg;

	if (reply->outcome != DB_OK)
	{
		struct log_context ctx = {.detail = reply->message};

		log_write(LOG_LEVEL_ERROR, &ctx, "the database did not say what a link opens");
		answer_words(d->exchange, 503, "try again later\n", "Retry-After: 5\r\n");
		download_free(d);
	}
	else if (PQntuples(reply->result) != 1)
	{
		refuse_link(d->gateway, d->exchange);
		download_free(d);
	}
	else
		open_file(d, reply->result);
}

static void
take_header(struct http_exchange *ex, const char *name, char out[HEADER_MAX])
{
	const char *value = http_header(ex, name);

	snprintf(out, HEADER_MAX, "%s", strlen(value) < HEADER_MAX ? value : "");
}

/* What can be wrong without asking the database is seen here. */
static bool
read_link(const char *id, const char *query, char text[QUERY_MAX], struct form *form)
{
	size_t len = strlen(query);

	if (strlen(id) != ID_LENGTH || strspn(id, "0123456789abcdef-") != ID_LENGTH || len >= QUERY_MAX)
		return false;
	memcpy(text, query, len + 1);
	return form_decode(text, len, form, NULL) && form_value(form, "expires", "")[0] != '\0' &&
		   strlen(form_value(form, "signature", "")) == 64;
}

void
files_request(struct gateway *g, struct http_exchange *ex, const struct http_request *req,
			  const char *id)
{
	char text[QUERY_MAX];
	struct form form;
	struct download *d;

	if (!read_link(id, req->query, text, &form))
	{
		refuse_link(g, ex);
		return;
	}
	if (g->download_count >= MAX_DOWNLOADS || g->stopping || (d = calloc(1, sizeof(*d))) == NULL)
	{
		gateway_reject(g, REJECT_DOWNLOADS);
		answer_words(ex, 503, "too many downloads at once\n", "Retry-After: 5\r\n");
		return;
	}

	const char *values[] = {id, form_value(&form, "expires", ""),
							form_value(&form, "signature", "")};

	g->download_count++;
	d->gateway = g;
	d->exchange = ex;
	take_header(ex, "range", d->range);
	take_header(ex, "if-range", d->if_range);
	take_header(ex, "if-none-match", d->if_none_match);
	db_query(g->db, db_affinity(id), g->sql.texts[SQL_FILE_OPEN], 3, values, TIMEOUT_MS, answered,
			 d);
}
