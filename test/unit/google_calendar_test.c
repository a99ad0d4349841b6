/* google_calendar: an assertion that OpenSSL verifies with the public key, refused keys, replies. */
#include "core/google_calendar.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "core/base64.h"
#include "tap.h"

static char pem[4096];

static EVP_PKEY *
make_key(int bits)
{
	EVP_PKEY *key = EVP_RSA_gen((unsigned) bits);
	BIO *bio = BIO_new(BIO_s_mem());
	int len;

	PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	len = BIO_read(bio, pem, sizeof(pem) - 1);
	pem[len > 0 ? len : 0] = '\0';
	BIO_free(bio);
	return key;
}

/* base64url to bytes, by way of plain base64. */
static size_t
decode(const char *text, size_t len, uint8_t *out, size_t size)
{
	char plain[4096];
	size_t n = len;
	ssize_t got;

	memcpy(plain, text, len);
	for (size_t i = 0; i < len; i++)
		plain[i] = plain[i] == '-' ? '+' : plain[i] == '_' ? '/' : plain[i];
	while (n % 4 != 0)
		plain[n++] = '=';
	got = base64_decode(plain, n, out, size);
	return got > 0 ? (size_t) got : 0;
}

static void
assertions(void)
{
	EVP_PKEY *key = make_key(2048);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct google_claims claims = {
		"robot@p.example.test", "k\"1", pem, "", "https://oauth2.googleapis.com/token", 1788100000};
	char text[GOOGLE_ASSERTION_SIZE];
	uint8_t part[2048];
	struct va_error err = {""};
	const char *first, *second;
	size_t len;

	ok(google_assertion(&claims, text, &err), "an assertion: %s", err.text);
	first = strchr(text, '.');
	second = strchr(first + 1, '.');
	len = decode(text, (size_t) (first - text), part, sizeof(part) - 1);
	part[len] = '\0';
	is_str((char *) part, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k\\\"1\"}", "its header");
	len = decode(first + 1, (size_t) (second - first - 1), part, sizeof(part) - 1);
	part[len] = '\0';
	is_str((char *) part,
		   "{\"iss\":\"robot@p.example.test\",\"scope\":\"https://www.googleapis.com/auth/"
		   "calendar.events\","
		   "\"aud\":\"https://oauth2.googleapis.com/token\",\"iat\":1788100000,\"exp\":1788103600}",
		   "its claims");
	len = decode(second + 1, strlen(second + 1), part, sizeof(part));
	ok(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		   EVP_DigestVerify(ctx, part, len, (uint8_t *) text, (size_t) (second - text)) == 1,
	   "its signature");
	claims.subject = "boss@example.test";
	ok(google_assertion(&claims, text, &err), "for somebody else");
	first = strchr(text, '.');
	len = decode(first + 1, strcspn(first + 1, "."), part, sizeof(part) - 1);
	part[len] = '\0';
	ok(strstr((char *) part, "\"sub\":\"boss@example.test\"") != NULL, "names him");
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	EVP_PKEY_free(make_key(1024));
	ok(!google_assertion(&claims, text, &err), "a short key is refused");
	claims.private_key = "-----BEGIN PRIVATE KEY-----\nnonsense\n";
	ok(!google_assertion(&claims, text, &err), "so is nonsense");
	is_str(err.text, "the service account's private_key is no RSA key in PEM",
		   "without a word of it");
}

static void
replies(void)
{
	char token[64], reason[40], message[40];
	int64_t lasts;
	static const char *const errors[][3] = {
		{"{\"error\":{\"code\":403,\"message\":\"Rate Limit "
		 "Exceeded\",\"errors\":[{\"reason\":\"rateLimitExceeded\"}]}}",
		 "rateLimitExceeded", "Rate Limit Exceeded"},
		{"{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}",
		 "invalid_grant", "Invalid JWT Signature."},
		{"{\"error\":{\"status\":\"NOT_FOUND\",\"message\":\"Not Found\",\"errors\":{}}}",
		 "NOT_FOUND", "Not Found"},
		{"nonsense", "", ""},
	};

	ok(google_read_token("{\"access_token\":\"ya29.x\",\"expires_in\":3599}", 43, token,
						 sizeof(token), &lasts) &&
		   strcmp(token, "ya29.x") == 0 && lasts == 3599,
	   "a token");
	ok(!google_read_token("{\"access_token\":\"a\\r\\nb\"}", 25, token, sizeof(token), &lasts),
	   "a token that breaks its line");
	ok(!google_read_token("{}", 2, token, sizeof(token), &lasts), "no token");
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
	{
		google_read_error(errors[i][0], strlen(errors[i][0]), reason, sizeof(reason), message,
						  sizeof(message));
		is_str(reason, errors[i][1], "reason %zu", i);
		is_str(message, errors[i][2], "message %zu", i);
	}
}

int
main(void)
{
	plan(0);
	assertions();
	replies();
	return done();
}
