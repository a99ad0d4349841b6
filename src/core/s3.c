/*
 * s3.c: see s3.h.
 *
 * The XML of an error is flat and short: its two elements are looked for by name, which is all that
 * reading it takes, and an entity or two in a message for people does no harm.
 */
#include "core/s3.h"

#include <string.h>

#include "core/buf.h"
#include "core/sigv4.h"
#include "core/utf8.h"

/* The host in an end point, and the scheme's length with "://"; NULL when there is none. */
static const char *
host_of(const char *endpoint, const char **port_to_drop)
{
	*port_to_drop = NULL;
	if (strncmp(endpoint, "https://", 8) == 0)
	{
		*port_to_drop = ":443";
		return endpoint + 8;
	}
	if (strncmp(endpoint, "http://", 7) == 0)
	{
		*port_to_drop = ":80";
		return endpoint + 7;
	}
	return NULL;
}

bool
s3_address(struct s3_address *a, const char *endpoint, const char *bucket, bool path_style,
		   const char *key, struct va_error *err)
{
	const char *port;
	const char *host = host_of(endpoint, &port);
	size_t host_len = host == NULL ? 0 : strcspn(host, "/");
	struct buf b;

	if (host_len == 0 || (host[host_len] == '/' && host[host_len + 1] != '\0') ||
		strcspn(host, "?#@ ") < host_len)
		return va_fail(err,
					   "the end point of S3 is a scheme and a host, as https://s3.example.com");
	if (bucket[0] == '\0' || strpbrk(bucket, "/?#@: ") != NULL || key[0] == '\0')
		return va_fail(err, "a bucket and a key are needed");

	size_t port_len = strlen(port);
	size_t signed_len =
		host_len > port_len && strncmp(host + host_len - port_len, port, port_len) == 0
			? host_len - port_len
			: host_len;

	buf_init(&b, a->host, sizeof(a->host));
	if (!path_style)
		buf_printf(&b, "%s.", bucket);
	buf_add(&b, host, signed_len);
	if (b.overflow)
		return va_fail(err, "the name of the storage's host is too long");
	buf_init(&b, a->path, sizeof(a->path));
	if (path_style)
	{
		buf_char(&b, '/');
		sigv4_encode_path(&b, bucket);
	}
	buf_char(&b, '/');
	sigv4_encode_path(&b, key);
	if (b.overflow)
		return va_fail(err, "the name of the stored file is too long");
	buf_init(&b, a->url, sizeof(a->url));
	buf_add(&b, endpoint, (size_t) (host - endpoint));
	buf_printf(&b, "%s%s", a->host, a->path);
	return !b.overflow || va_fail(err, "the address of the stored file is too long");
}

/* The text of the first element of that name, cut to fit, without control characters. */
static void
read_element(const char *body, size_t len, const char *open, const char *close, char *out,
			 size_t size)
{
	const char *from = memmem(body, len, open, strlen(open));
	const char *to;
	size_t room;

	out[0] = '\0';
	if (from == NULL)
		return;
	from += strlen(open);
	to = memmem(from, (size_t) (body + len - from), close, strlen(close));
	if (to == NULL)
		return;
	room = (size_t) (to - from) < size - 1 ? (size_t) (to - from) : size - 1;
	/* A character that was cut in two goes; what is no UTF-8 at all is no text. */
	while (room > 0 && (size_t) (to - from) > room && ((unsigned char) from[room] & 0xC0) == 0x80)
		room--;
	if (!utf8_valid(from, room))
		room = 0;
	memcpy(out, from, room);
	out[room] = '\0';
	for (char *c = out; *c != '\0'; c++)
		if ((unsigned char) *c < 0x20)
			*c = ' ';
}

void
s3_read_error(struct s3_error *e, const char *body, size_t len)
{
	read_element(body, len, "<Code>", "</Code>", e->code, sizeof(e->code));
	read_element(body, len, "<Message>", "</Message>", e->message, sizeof(e->message));
}

const char *
s3_hint(const char *code)
{
	static const struct
	{
		const char *code;
		const char *hint;
	} hints[] = {
		{"AccessDenied",
		 "Allow s3:PutObject, s3:GetObject and s3:DeleteObject on the bucket to this key."},
		{"AuthorizationHeaderMalformed", "Correct the setting storage.region."},
		{"InvalidAccessKeyId", "Set the secret s3_access_key anew."},
		{"NoSuchBucket", "Make the bucket, or correct the setting storage.bucket."},
		{"PermanentRedirect",
		 "The bucket is in another region: correct storage.endpoint and storage.region."},
		{"RequestTimeTooSkewed", "Set this host's clock."},
		{"SignatureDoesNotMatch",
		 "Set the secret s3_secret_key anew; check storage.region and storage.path_style."},
		{"TemporaryRedirect",
		 "The bucket is being moved: try again later, or correct storage.endpoint."},
	};

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (strcmp(hints[i].code, code) == 0)
			return hints[i].hint;
	return NULL;
}
