/*
 * sigv4_test.c: the examples Amazon publishes, one of our own that two other implementations agree
 * with, and what must be refused.
 */
#include "core/sigv4.h"

#include <string.h>

#include "tap.h"

/* sha256 of nothing */
static const char empty_hash[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static const struct sigv4_key amazon = {
	"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL, "us-east-1"};
static const struct sigv4_key own = {"AKEXAMPLE", "sekritEXAMPLEkey", NULL, "us-east-1"};

#define AT_2013 INT64_C(1369353600) /* 20130524T000000Z */
#define AT_2026 INT64_C(1795338000) /* 20261122T090000Z */

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);
	size_t end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static void
test_amazon(void)
{
	static const struct sigv4_header headers[] = {{"range", "bytes=0-9"}};
	struct sigv4_request r = {.method = "GET",
							  .host = "examplebucket.s3.amazonaws.com",
							  .path = "/test.txt",
							  .query = "",
							  .payload_hash = empty_hash,
							  .headers = headers,
							  .header_count = 1,
							  .at_s = AT_2013};
	char text[2048];
	struct buf b;
	struct va_error err = {""};

	buf_init(&b, text, sizeof(text));
	ok(sigv4_authorization(&amazon, &r, &b, &err), "Amazon's GET Object is signed: %s", err.text);
	is_str(text,
		   "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
		   "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
		   "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		   "as Amazon prints it");
	buf_init(&b, text, sizeof(text));
	ok(sigv4_presign(&amazon, &r, 86400, &b, &err), "Amazon's presigned URL: %s", err.text);
	ok(ends_with(text, "&X-Amz-Signature="
					   "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"),
	   "has its signature: %s", text);
	ok(strstr(text,
			  "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
			  "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host") != NULL,
	   "and its parameters in order");
}

static void
test_own(void)
{
	static const struct sigv4_header headers[] = {{"content-type", "  text/plain "}};
	static const char body[] = "hello world\n";
	char hash[SIGV4_HASH_SIZE];
	char path[64];
	char text[2048];
	struct buf b;
	struct va_error err = {""};

	ok(sigv4_hash(body, sizeof(body) - 1, hash), "a body is hashed");
	is_str(hash, "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447", "right");
	buf_init(&b, path, sizeof(path));
	sigv4_encode_path(&b, "/demo/dir/a+b c.txt");
	is_str(path, "/demo/dir/a%2Bb%20c.txt", "a path is encoded once, slashes stay");

	struct sigv4_request r = {.method = "PUT",
							  .host = "127.0.0.1:9000",
							  .path = path,
							  .query = "",
							  .payload_hash = hash,
							  .headers = headers,
							  .header_count = 1,
							  .at_s = AT_2026};

	buf_init(&b, text, sizeof(text));
	ok(sigv4_authorization(&own, &r, &b, &err), "PUT is signed: %s", err.text);
	ok(ends_with(text,
				 "Signature=d3eaddc962a52015e2dce8bcd9e1452281015f7fe7c010242246e37f6d0e4542"),
	   "as others sign it: %s", text);
	ok(strstr(text, "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date,") != NULL,
	   "with the headers in order");
	r.method = "GET";
	buf_init(&b, text, sizeof(text));
	ok(sigv4_presign(&own, &r, 900, &b, &err), "GET is presigned: %s", err.text);
	ok(ends_with(text, "=61cab435a9f228e0a61c2c001c918df9c0da477ce27334f4078f780d2a11d55e"),
	   "as others do it: %s", text);
}

/* A session token is signed with the rest and is part of a link. */
static void
test_token(void)
{
	struct sigv4_key key = own;
	struct sigv4_request r = {.method = "GET",
							  .host = "h",
							  .path = "/",
							  .query = "",
							  .payload_hash = empty_hash,
							  .at_s = 0};
	char with[2048];
	char without[2048];
	struct buf b;

	buf_init(&b, without, sizeof(without));
	ok(sigv4_authorization(&key, &r, &b, NULL), "without a token");
	key.session_token = "to/ken+";
	buf_init(&b, with, sizeof(with));
	ok(sigv4_authorization(&key, &r, &b, NULL), "with one");
	ok(strstr(with, ";x-amz-date;x-amz-security-token,") != NULL, "it is signed");
	ok(strcmp(strstr(with, "Signature="), strstr(without, "Signature=")) != 0,
	   "and changes the signature");
	buf_init(&b, with, sizeof(with));
	ok(sigv4_presign(&key, &r, 1, &b, NULL) &&
		   strstr(with, "&X-Amz-Security-Token=to%2Fken%2B&X-Amz-SignedHeaders=host") != NULL,
	   "a link carries it");
}

static void
test_encoding(void)
{
	char text[64];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	sigv4_encode_query(&b, "a/b=c&d é~-_.Z9");
	is_str(text, "a%2Fb%3Dc%26d%20%C3%A9~-_.Z9", "a query is encoded, slashes as well");
	buf_init(&b, text, 8);
	sigv4_encode_path(&b, "/äöü");
	ok(b.overflow, "what does not fit is told");
}

static void
test_refused(void)
{
	struct sigv4_request r = {.method = "GET",
							  .host = "h",
							  .path = "/",
							  .query = "",
							  .payload_hash = empty_hash,
							  .at_s = 0};
	struct sigv4_key key = own;
	struct sigv4_header many[SIGV4_MAX_HEADERS + 1];
	char text[4096];
	char tiny[32];
	static char longest[20000];
	struct buf b;
	struct va_error err = {""};

	buf_init(&b, tiny, sizeof(tiny));
	ok(!sigv4_authorization(&key, &r, &b, &err), "no room: %s", err.text);
	buf_init(&b, tiny, sizeof(tiny));
	ok(!sigv4_presign(&key, &r, 60, &b, &err), "no room for a link: %s", err.text);
	buf_init(&b, text, sizeof(text));
	ok(!sigv4_presign(&key, &r, 0, &b, &err), "no time: %s", err.text);
	ok(!sigv4_presign(&key, &r, SIGV4_LONGEST_S + 1, &b, &err), "longer than a week: %s", err.text);
	key.region = "";
	ok(!sigv4_authorization(&key, &r, &b, &err), "no region: %s", err.text);
	key = own;
	key.secret_key = "";
	ok(!sigv4_authorization(&key, &r, &b, &err), "no secret: %s", err.text);
	key = own;
	r.path = "x";
	ok(!sigv4_authorization(&key, &r, &b, &err), "no slash: %s", err.text);
	r.path = "/";
	for (size_t i = 0; i <= SIGV4_MAX_HEADERS; i++)
		many[i] = (struct sigv4_header){"a", "b"};
	r.headers = many;
	r.header_count = SIGV4_MAX_HEADERS + 1;
	ok(!sigv4_authorization(&key, &r, &b, &err), "too many headers: %s", err.text);
	r.header_count = 0;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[0] = '/';
	r.path = longest;
	ok(!sigv4_authorization(&key, &r, &b, &err), "too long a path: %s", err.text);
	r.path = "/";
	key.secret_key = longest;
	ok(!sigv4_authorization(&key, &r, &b, &err), "too long a secret: %s", err.text);
}

int
main(void)
{
	plan(0);
	test_amazon();
	test_own();
	test_token();
	test_encoding();
	test_refused();
	return done();
}
