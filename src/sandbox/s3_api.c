/*
 * s3_api.c: the stand-in for S3: objects in memory, path style, in one bucket, which is called "bucket";
 * for keys that begin with "nobucket/" it says that there is none.
 *
 * Every request's signature is computed anew from what arrived, by Amazon's description and with no
 * line of the product's signer; presigned URLs and their time too, and the hash of the body. One key
 * is known: SANDBOXKEY with the secret "sandbox/secret+key".
 */
#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "sandbox/json_text.h"
#include "sandbox/providers.h"

#define ACCESS_KEY "SANDBOXKEY"
#define SECRET_KEY "sandbox/secret+key"
#define PREFIX "/bucket"
#define TEXT 8192

struct object
{
	char *key;
	char *type;
	char *body;
	size_t len;
};

struct s3
{
	const struct stand_in_host *host;
	void *objects;
};

/* What a signature says of itself. */
struct claim
{
	char credential[256]; /* key/day/region/s3/aws4_request */
	char names[512]; /* signed headers */
	char signature[65];
	char date[32];
	char hash[128]; /* of the body */
	long expires; /* presigned; 0: not */
};

/* ---- errors ---- */

static void
refuse(struct stand_in_exchange *ex, int status, const char *code, const char *message)
{
	char xml[1024];
	int len = snprintf(xml, sizeof(xml),
					   "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code>"
					   "<Message>%s</Message><RequestId>sandbox</RequestId></Error>",
					   code, message);

	stand_in_answer(ex, status, "application/xml", xml, (size_t) len, NULL);
}

/* ---- the signature ---- */

static void
to_hex(const unsigned char *bytes, char out[65])
{
	for (int i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static void
hash_hex(const char *data, size_t len, char out[65])
{
	unsigned char digest[32];

	EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL);
	to_hex(digest, out);
}

static void
chain(unsigned char key[32], size_t key_len, const unsigned char *start, const char *text)
{
	unsigned len = 32;
	unsigned char out[32];

	HMAC(EVP_sha256(), start, (int) key_len, (const unsigned char *) text, strlen(text), out, &len);
	memcpy(key, out, 32);
}

/* The value of name=... in a query, decoded only as far as needed here (%2F). */
static bool
query_value(const char *query, const char *name, char *out, size_t size)
{
	size_t name_len = strlen(name);
	size_t n = 0;

	for (const char *at = query; *at != '\0'; at += strcspn(at, "&"), at += *at == '&')
	{
		if (strncmp(at, name, name_len) != 0 || at[name_len] != '=')
			continue;
		for (const char *v = at + name_len + 1; *v != '\0' && *v != '&' && n + 1 < size; v++)
		{
			if (strncasecmp(v, "%2F", 3) == 0)
			{
				out[n++] = '/';
				v += 2;
			}
			else
				out[n++] = *v;
		}
		out[n] = '\0';
		return true;
	}
	return false;
}

static bool
take(const char *header, const char *name, char *out, size_t size)
{
	const char *at = strstr(header, name);
	size_t len;

	if (at == NULL)
		return false;
	at += strlen(name);
	len = strcspn(at, ", ");
	if (len == 0 || len >= size)
		return false;
	memcpy(out, at, len);
	out[len] = '\0';
	return true;
}

static bool
read_claim(struct stand_in_exchange *ex, const struct stand_in_request *r, struct claim *c)
{
	const char *header = stand_in_header(ex, "authorization");
	char expires[16];

	memset(c, 0, sizeof(*c));
	if (query_value(r->query, "X-Amz-Signature", c->signature, sizeof(c->signature)))
	{
		snprintf(c->hash, sizeof(c->hash), "UNSIGNED-PAYLOAD");
		if (!query_value(r->query, "X-Amz-Expires", expires, sizeof(expires)))
			return false;
		c->expires = strtol(expires, NULL, 10);
		return query_value(r->query, "X-Amz-Credential", c->credential, sizeof(c->credential)) &&
			   query_value(r->query, "X-Amz-SignedHeaders", c->names, sizeof(c->names)) &&
			   query_value(r->query, "X-Amz-Date", c->date, sizeof(c->date)) && c->expires > 0;
	}
	snprintf(c->date, sizeof(c->date), "%s", stand_in_header(ex, "x-amz-date"));
	snprintf(c->hash, sizeof(c->hash), "%s", stand_in_header(ex, "x-amz-content-sha256"));
	return strncmp(header, "AWS4-HMAC-SHA256 ", 17) == 0 &&
		   take(header, "Credential=", c->credential, sizeof(c->credential)) &&
		   take(header, "SignedHeaders=", c->names, sizeof(c->names)) &&
		   take(header, "Signature=", c->signature, sizeof(c->signature));
}

/* The request in its canonical form, from what arrived. */
static size_t
canonical(struct stand_in_exchange *ex, const struct stand_in_request *r, const struct claim *c,
		  char *out)
{
	char names[512];
	char *save = NULL;
	size_t n = (size_t) snprintf(out, TEXT, "%s\n" PREFIX "%s\n", r->method, r->path);
	const char *cut = strstr(r->query, "&X-Amz-Signature=");
	size_t query_len = cut != NULL ? (size_t) (cut - r->query) : strlen(r->query);

	n += (size_t) snprintf(out + n, TEXT - n, "%.*s\n", (int) query_len, r->query);
	snprintf(names, sizeof(names), "%s", c->names);
	for (char *name = strtok_r(names, ";", &save); name != NULL && n < TEXT;
		 name = strtok_r(NULL, ";", &save))
		n += (size_t) snprintf(out + n, TEXT - n, "%s:%s\n", name,
							   strcmp(name, "host") == 0 ? r->host : stand_in_header(ex, name));
	if (n < TEXT)
		n += (size_t) snprintf(out + n, TEXT - n, "\n%s\n%s", c->names, c->hash);
	return n < TEXT ? n : 0;
}

static bool
sign_again(const struct claim *c, const char *text, size_t len, char out[65])
{
	char hash[65], to_sign[1024], day[9], region[64];
	const char *first = strchr(c->credential, '/');
	const char *second = first == NULL ? NULL : strchr(first + 1, '/');
	const char *third = second == NULL ? NULL : strchr(second + 1, '/');
	unsigned char key[32];

	if (third == NULL || second - first != 9 || third - second >= 64)
		return false;
	snprintf(day, sizeof(day), "%.8s", first + 1);
	snprintf(region, sizeof(region), "%.*s", (int) (third - second - 1), second + 1);
	hash_hex(text, len, hash);
	snprintf(to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256\n%s\n%s\n%s", c->date, first + 1, hash);
	chain(key, strlen("AWS4" SECRET_KEY), (const unsigned char *) "AWS4" SECRET_KEY, day);
	chain(key, 32, key, region);
	chain(key, 32, key, "s3");
	chain(key, 32, key, "aws4_request");
	chain(key, 32, key, to_sign);
	to_hex(key, out);
	return strcmp(third, "/s3/aws4_request") == 0 && strncmp(day, c->date, 8) == 0;
}

/* Seconds since the claim was made; huge when its date is none. */
static long
age_of(const struct claim *c)
{
	struct tm tm = {0};
	char *end = strptime(c->date, "%Y%m%dT%H%M%SZ", &tm);

	return end == NULL || *end != '\0' ? 1000000 : (long) (time(NULL) - timegm(&tm));
}

/* True when the request may pass; otherwise it was answered. */
static bool
let_in(struct stand_in_exchange *ex, const struct stand_in_request *r)
{
	struct claim c;
	char text[TEXT], signature[65], hash[65];
	size_t len;

	if (!read_claim(ex, r, &c))
		refuse(ex, 403, "AccessDenied", "Access Denied");
	else if (strncmp(c.credential, ACCESS_KEY "/", sizeof(ACCESS_KEY)) != 0)
		refuse(ex, 403, "InvalidAccessKeyId",
			   "The AWS Access Key Id you provided does not exist in our records.");
	else if ((len = canonical(ex, r, &c, text)) == 0 || !sign_again(&c, text, len, signature) ||
			 strcmp(signature, c.signature) != 0 || strstr(c.names, "host") == NULL)
		refuse(ex, 403, "SignatureDoesNotMatch",
			   "The request signature we calculated does not match the signature you provided.");
	else if (c.expires > 0 && age_of(&c) > c.expires)
		refuse(ex, 403, "AccessDenied", "Request has expired");
	else if (c.expires == 0 && labs(age_of(&c)) > 900)
		refuse(ex, 403, "RequestTimeTooSkewed",
			   "The difference between the request time and the current time is too large.");
	else
	{
		hash_hex(r->body, r->body_len, hash);
		if (c.expires > 0 || strcmp(c.hash, "UNSIGNED-PAYLOAD") == 0 || strcmp(c.hash, hash) == 0)
			return true;
		refuse(ex, 400, "XAmzContentSHA256Mismatch",
			   "The provided 'x-amz-content-sha256' header does not match what was computed.");
	}
	return false;
}

/* ---- objects ---- */

static int
compare(const void *a, const void *b)
{
	return strcmp(((const struct object *) a)->key, ((const struct object *) b)->key);
}

static struct object *
find(struct s3 *s3, const char *key)
{
	struct object wanted = {.key = (char *) key};
	struct object **found = tfind(&wanted, &s3->objects, compare);

	return found != NULL ? *found : NULL;
}

static void
forget(struct object *o)
{
	free(o->key);
	free(o->type);
	free(o->body);
	free(o);
}

static void
put(struct s3 *s3, struct stand_in_exchange *ex, const struct stand_in_request *r)
{
	struct object *o = find(s3, r->path);
	struct json_object *line;
	char hash[65];

	if (o != NULL)
	{
		tdelete(o, &s3->objects, compare);
		forget(o);
	}
	o = calloc(1, sizeof(*o));
	if (o == NULL || (o->key = strdup(r->path)) == NULL ||
		(o->type = strdup(r->content_type)) == NULL || (o->body = malloc(r->body_len + 1)) == NULL)
		abort();
	memcpy(o->body, r->body, r->body_len);
	o->len = r->body_len;
	if (tsearch(o, &s3->objects, compare) == NULL)
		abort();
	hash_hex(r->body, r->body_len, hash);
	line = ledger_line(s3->host->ledger, r->path, "put");
	json_put_text(line, "sha256", hash);
	json_put_int(line, "bytes", (long long) r->body_len);
	json_put_text(line, "type", r->content_type);
	ledger_write(s3->host->ledger, line);
	stand_in_answer(ex, 200, "application/xml", "", 0, "ETag: \"sandbox\"\r\n");
}

static void
s3_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *r)
{
	struct s3 *s3 = self;
	struct object *o;

	if (!let_in(ex, r))
		return;
	if (strncmp(r->path, "/nobucket/", 10) == 0)
	{
		refuse(ex, 404, "NoSuchBucket", "The specified bucket does not exist");
		return;
	}
	o = find(s3, r->path);
	if (strcmp(r->method, "PUT") == 0)
		put(s3, ex, r);
	else if (strcmp(r->method, "DELETE") == 0)
	{
		if (o != NULL)
		{
			tdelete(o, &s3->objects, compare);
			forget(o);
		}
		ledger_note(s3->host->ledger, r->path, "delete", NULL, NULL);
		stand_in_answer(ex, 204, "application/xml", "", 0, NULL);
	}
	else if (o == NULL)
		refuse(ex, 404, "NoSuchKey", "The specified key does not exist.");
	else
		stand_in_answer(ex, 200, o->type, o->body, o->len, NULL);
}

static void *
s3_open(const struct stand_in_host *host)
{
	struct s3 *s3 = calloc(1, sizeof(*s3));

	if (s3 == NULL)
		abort();
	s3->host = host;
	return s3;
}

static void
free_object(void *node)
{
	forget(node);
}

static void
s3_close(void *self)
{
	struct s3 *s3 = self;

	tdestroy(s3->objects, free_object);
	free(s3);
}

const struct stand_in s3_stand_in = {PREFIX, s3_open, s3_request, s3_close};
