/* twilio_rest: whatever Twilio answers, texts end, SIDs are SIDs and nothing is found in nonsense. */
#include "core/twilio_rest.h"

#include "core/utf8.h"
#include "fuzz.h"

static void
check_resource(const struct twilio_rest_resource *r)
{
	must(strlen(r->sid) == 34);
	must(strlen(r->status) < sizeof(r->status) && strlen(r->to) < sizeof(r->to));
	must(r->error_code >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct twilio_rest_resource resource;
	struct twilio_rest_error error;
	struct twilio_rest_found found = {0};
	struct twilio_rest_wanted wanted = {.list = "calls", .to = "+15551230009", .since = 0};
	struct va_error err = {""};

	if (twilio_rest_resource(text, size, &resource, &err))
		check_resource(&resource);
	else
		must(err.text[0] != '\0' && resource.sid[0] == '\0');
	if (twilio_rest_error(text, size, &error))
		must(utf8_valid(error.message, strlen(error.message)) && error.code >= 0);
	if (twilio_rest_find(text, size, &wanted, &found, NULL) && found.count > 0)
		check_resource(&found.first);
	if (found.next[0] != '\0')
	{
		char url[TWILIO_REST_URL_SIZE];
		struct buf out;

		buf_init(&out, url, sizeof(url));
		if (twilio_rest_next_url(&out, "https://h", "AC00000000000000000000000000000001",
								 found.next, NULL))
			must(strncmp(url, "https://h/2010-04-01/Accounts/AC00000000000000000000000000000001/",
						 64) == 0);
	}
	must(twilio_rest_date(text) >= -86400);
	free(text);
	return 0;
}
