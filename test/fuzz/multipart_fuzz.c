/* multipart, charset, inbound_mail: parts lie within the body, in order; the mail made of them is JSON that the database takes. */
#include "core/inbound_mail.h"
#include "core/json.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct multipart form;
	struct va_error err = {""};
	char *body = malloc(size > 0 ? size : 1);
	char *as_type = fuzz_text(data, size < 200 ? size : 200);
	char boundary[MULTIPART_BOUNDARY_SIZE];

	must(body != NULL);
	if (size > 0)
		memcpy(body, data, size);
	if (multipart_boundary(as_type, boundary))
		must(boundary[0] != '\0' && strlen(boundary) <= 70);
	if (!multipart_read("B", body, size, &form, &err))
		must(err.text[0] != '\0');
	else
	{
		const char *last = body;
		struct json_object *mail, *again;
		const char *text;

		for (size_t i = 0; i < form.count; i++)
		{
			must(form.parts[i].data >= last &&
				 form.parts[i].data + form.parts[i].len <= body + size);
			must(form.parts[i].name[0] != '\0');
			last = form.parts[i].data + form.parts[i].len;
		}
		mail = inbound_mail(&form);
		text = json_object_to_json_string_ext(mail, JSON_C_TO_STRING_PLAIN);
		again = json_parse(text, strlen(text), &err);
		must(again != NULL);
		json_object_put(again);
		json_object_put(mail);
	}
	free(as_type);
	free(body);
	return 0;
}
