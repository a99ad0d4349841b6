/* base64: decoding undoes encoding; a text that decodes is the one spelling of its bytes. */
#include "core/base64.h"

#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(BASE64_LENGTH(size) + 1);
	uint8_t *bytes = malloc(size + 1);
	size_t len = base64_encode(data, size, text);
	ssize_t decoded;

	must(len == BASE64_LENGTH(size));
	must(base64_decode(text, len, bytes, size) == (ssize_t) size);
	must(memcmp(bytes, data, size) == 0);

	decoded = base64_decode((const char *) data, size, bytes, size);
	if (decoded >= 0)
	{
		must(base64_encode(bytes, (size_t) decoded, text) == size);
		must(memcmp(text, data, size) == 0);
	}
	free(text);
	free(bytes);
	return 0;
}
