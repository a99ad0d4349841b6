/* phone: whatever comes out is E.164 and stays as it is. */
#include "core/phone.h"

#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct va_error err = {""};
	char out[PHONE_SIZE];
	char again[PHONE_SIZE];
	char *text = fuzz_text(data, size);

	if (phone_normalize(text, out, &err))
	{
		size_t digits = strspn(out + 1, "0123456789");

		must(out[0] == '+' && out[1] != '0' && out[digits + 1] == '\0');
		must(digits >= 7 && digits <= 15);
		must(phone_normalize(out, again, NULL) && strcmp(out, again) == 0);
	}
	else
		must(out[0] == '\0' && err.text[0] != '\0');
	free(text);
	return 0;
}
