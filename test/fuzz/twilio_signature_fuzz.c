/* twilio_signature: any form and URL: our own signature verifies, anything else does not.
 * Input: URL, a newline, the raw form. */
#include "core/twilio_signature.h"

#include "fuzz.h"

static bool
is_url(const char *url)
{
	const char *host = strstr(url, "://");

	/* As given, the fragment and the user would not be signed: the target keeps to plain URLs. */
	return host != NULL && host != url && strpbrk(url, "#@") == NULL &&
		   strcspn(host + 3, "/?:") > 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const token[] = {"0123456789abcdef0123456789abcdef"};
	static const char *const other[] = {"0123456789abcdef0123456789abcdee"};
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t url_len = newline != NULL ? (size_t) (newline - data) : size;
	size_t body_len = newline != NULL ? size - url_len - 1 : 0;
	char *url = fuzz_text(data, url_len);
	char *body = fuzz_text(newline != NULL ? newline + 1 : data, body_len);
	struct form form;
	char signature[TWILIO_SIGNATURE_SIZE];

	twilio_verify_json(token, 1, url, body, body_len, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	if (form_decode(body, body_len, &form, NULL))
	{
		must(twilio_sign(token[0], url, &form, signature));
		must(strlen(signature) == TWILIO_SIGNATURE_SIZE - 1);
		must(!is_url(url) || twilio_verify(token, 1, url, &form, signature));
		must(!twilio_verify(other, 1, url, &form, signature));
		must(!twilio_verify(token, 1, url, &form, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="));
		signature[size % 27] ^= 1;
		must(!twilio_verify(token, 1, url, &form, signature));
	}
	free(url);
	free(body);
	return 0;
}
