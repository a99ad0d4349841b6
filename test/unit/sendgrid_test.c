/* sendgrid: the request's body, errors, the signature (a vector that the vendor's library agrees with), events. */
#include "core/sendgrid.h"

#include "core/base64.h"
#include "core/json.h"
#include "tap.h"

#define KEY                                                                                        \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEI/8uhVJ1VMfGBbDDAK/XSdf3lCy7JSMVxoxI5NXbKplYg9DK8wDNF/"   \
	"earhuZywhlJbHwReaoG9qNMUzxFRKt0g=="
#define TIMESTAMP "1788100010"
#define SIGNATURE                                                                                  \
	"MEUCIGoHxmsh0Trvt1fJ+yH9e3Yhr6Vk55wr6OSgSw0OX/2PAiEAroTnHxyfy+xxeNlfZePRYdBjDTp5M0PQntqclNV7" \
	"usQ="
#define BODY                                                                                       \
	"[{\"email\":\"ann@example.test\",\"event\":\"delivered\",\"timestamp\":1788100000,"           \
	"\"smtp-id\":\"<t1@example.test>\",\"sg_event_id\":\"ZXYtMQ\",\"sg_message_id\":"              \
	"\"m1.filter-1\",\"call_id\":\"c-42\",\"response\":\"250 OK\"},\r\n"                           \
	"{\"email\":\"bo@example.test\",\"event\":\"open\",\"timestamp\":1788100005,"                  \
	"\"sg_event_id\":\"ZXYtMg\",\"sg_message_id\":\"m2.filter-1\",\"useragent\":\"UA/1.0\","       \
	"\"ip\":\"192.0.2.7\"}]\r\n"

static void
signatures(void)
{
	/* r of 0, and the two numbers without their DER. */
	static const char *const broken[] = {
		"",
		"AAAA",
		"MAYCAQACAQE=",
		"not base64 at all",
		"MEUCIGoHxmsh0Trvt1fJ+yH9e3Yhr6Vk55wr6OSgSw0OX/"
		"2PAiEAroTnHxyfy+xxeNlfZePRYdBjDTp5M0PQntqclNV7",
		" " SIGNATURE,
		"agfGayHROu+3V8n7If17diGvpWTnnCvo5KBLDQ5f/Y+uhOcfHJ/L7HF42V9l49Fh0GMNOnkzQ9Ce2pyU1Xu6xA=="};
	size_t len = strlen(BODY);
	char *body = tap_exact(BODY, len);

	is_int((int64_t) len, 354, "the vector's body");
	ok(sendgrid_verify(KEY, TIMESTAMP, body, len, SIGNATURE), "the vector is accepted");
	ok(!sendgrid_verify(KEY, TIMESTAMP, body, len - 2, SIGNATURE), "not without its last line end");
	ok(!sendgrid_verify(KEY, "1788100011", body, len, SIGNATURE), "not with another time");
	body[100] ^= 1;
	ok(!sendgrid_verify(KEY, TIMESTAMP, body, len, SIGNATURE), "not with another bit");
	body[100] ^= 1;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		ok(!sendgrid_verify(KEY, TIMESTAMP, body, len, broken[i]), "not with signature %zu", i);
	ok(!sendgrid_verify("", TIMESTAMP, body, len, SIGNATURE), "not without a key");
	ok(sendgrid_key_good(KEY) && !sendgrid_key_good("") && !sendgrid_key_good("MFkwEwYH") &&
		   !sendgrid_key_good(SIGNATURE),
	   "keys");
	free(body);
	ok(sendgrid_timestamp_fresh(TIMESTAMP, 1788100010, 600) &&
		   sendgrid_timestamp_fresh(TIMESTAMP, 1788100610, 600) &&
		   sendgrid_timestamp_fresh(TIMESTAMP, 1788099410, 600) &&
		   !sendgrid_timestamp_fresh(TIMESTAMP, 1788100611, 600) &&
		   !sendgrid_timestamp_fresh(TIMESTAMP, 1788099409, 600) &&
		   !sendgrid_timestamp_fresh("", 0, 600) && !sendgrid_timestamp_fresh("-1", 0, 600) &&
		   !sendgrid_timestamp_fresh("99999999999999999999", 0, 600) &&
		   !sendgrid_timestamp_fresh("1788100010x", 1788100010, 600),
	   "fresh and stale timestamps");
}

static void
events(void)
{
	static const struct
	{
		const char *body;
		const char *wanted; /* as JSON, or NULL */
		size_t skipped;
	} cases[] = {
		{"[]", "[]", 0},
		{"{}", NULL, 0},
		{"", NULL, 0},
		{"[1,null,\"x\",{}]", "[]", 4},
		{"[{\"event\":\"open\",\"timestamp\":5}]", "[]", 1},
		{"[{\"event\":\"open\",\"timestamp\":\"5\",\"sg_event_id\":\"a\"}]", "[]", 1},
		{"[{\"timestamp\":5,\"sg_event_id\":\"a\"}]", "[]", 1},
		{"[{\"event\":\"bounce\",\"timestamp\":5,\"sg_event_id\":\"a\",\"sg_message_id\":\"m-1_x.f."
		 "y\",\"email\":\"a@b.test\","
		 "\"reason\":\"550 "
		 "no\",\"status\":\"5.1.1\",\"type\":\"bounce\",\"va_tenant\":\"t\",\"va_key\":\"k\","
		 "\"va_notification\":\"n\",\"asm_group_id\":7,\"sg_machine_open\":true,\"other\":{\"x\":1}"
		 "}]",
		 "[{\"event_id\":\"a\",\"at\":5,\"event\":\"bounce\",\"to\":\"a@b.test\",\"reason\":\"550 "
		 "no\",\"status\":\"5.1.1\","
		 "\"type\":\"bounce\",\"tenant\":\"t\",\"key\":\"k\",\"notification\":\"n\",\"message_id\":"
		 "\"m-1_x\",\"group\":7,\"machine\":true}]",
		 0},
		{"[{\"event\":\"open\",\"timestamp\":5,\"sg_event_id\":\"a\",\"email\":{\"x\":1},\"va_"
		 "key\":3,\"sg_message_id\":\".x\"}]",
		 "[{\"event_id\":\"a\",\"at\":5,\"event\":\"open\"}]", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t skipped;
		struct va_error err = {""};
		char *exact = tap_exact(cases[i].body, strlen(cases[i].body));
		struct json_object *list =
			sendgrid_read_events(exact, strlen(cases[i].body), &skipped, &err);

		is_str(list != NULL ? json_object_to_json_string_ext(
								  list, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
							: NULL,
			   cases[i].wanted, "events: %s", cases[i].body);
		is_int((int64_t) skipped, (int64_t) cases[i].skipped, "left out");
		ok((list == NULL) == (err.text[0] != '\0'), "a reason when there is no list");
		json_object_put(list);
		free(exact);
	}
}

static void
bodies(void)
{
	static const char request[] = "{\"from\":{\"email\":\"sales@example.test\",\"name\":\"Sales\"},"
								  "\"to\":[{\"email\":\"ann@example.test\",\"name\":\"Ann\"}],"
								  "\"reply_to\":{\"email\":\"reply@example.test\"},\"subject\":"
								  "\"Hi\",\"text\":\"t\",\"html\":\"<p>t</p>\","
								  "\"custom_args\":{\"va_key\":\"k1\"},\"categories\":["
								  "\"appointment\"],\"message_id\":\"m@example.test\","
								  "\"headers\":{\"List-Unsubscribe\":\"<https://u.test/"
								  "x>\"},\"attachments\":[{\"filename\":\"a.txt\",\"type\":\"text/"
								  "plain\",\"content\":\"aGk=\"}]%s}";
	static const struct
	{
		const char *more;
		const char *pointer;
		const char *wanted;
	} cases[] = {
		{"", "/personalizations", "[{\"to\":[{\"email\":\"ann@example.test\",\"name\":\"Ann\"}]}]"},
		{"", "/from", "{\"email\":\"sales@example.test\",\"name\":\"Sales\"}"},
		{"", "/reply_to/email", "\"reply@example.test\""},
		{"", "/subject", "\"Hi\""},
		{"", "/content",
		 "[{\"type\":\"text/plain\",\"value\":\"t\"},{\"type\":\"text/html\",\"value\":\"<p>t</"
		 "p>\"}]"},
		{"", "/custom_args/va_key", "\"k1\""},
		{"", "/categories", "[\"appointment\"]"},
		{"", "/headers",
		 "{\"List-Unsubscribe\":\"<https://u.test/x>\",\"Message-ID\":\"<m@example.test>\"}"},
		{"", "/attachments",
		 "[{\"content\":\"aGk=\",\"type\":\"text/"
		 "plain\",\"filename\":\"a.txt\",\"disposition\":\"attachment\"}]"},
		{"", "/tracking_settings/click_tracking/enable", "false"},
		{"", "/mail_settings", NULL},
		{",\"sandbox\":true", "/mail_settings/sandbox_mode/enable", "true"},
		{",\"template_id\":\"d-1\",\"template_data\":{\"a\":{\"b\":1}}",
		 "/personalizations/0/dynamic_template_data", "{\"a\":{\"b\":1}}"},
		{",\"template_id\":\"d-1\"", "/content", NULL},
		{",\"template_id\":\"d-1\"", "/template_id", "\"d-1\""},
		{",\"to\":[{\"email\":\"a@b.test\"},{\"email\":\"c@d.test\"}]", "/personalizations",
		 "[{\"to\":[{\"email\":\"a@b.test\"}]},{\"to\":[{\"email\":\"c@d.test\"}]}]"},
		{",\"calendar\":{\"method\":\"CANCEL\",\"uid\":\"u\",\"sequence\":1,\"stamp\":5,\"start\":"
		 "6,\"end\":7,\"summary\":\"s\","
		 "\"organizer\":{\"email\":\"o@b.test\"},\"attendees\":[{\"email\":\"a@b.test\"}]}",
		 "/content/2/type", "\"text/calendar; method=CANCEL\""},
		{",\"calendar_style\":\"attachment\",\"calendar\":{\"method\":\"CANCEL\",\"uid\":\"u\","
		 "\"sequence\":1,\"stamp\":5,\"start\":6,\"end\":7,\"summary\":\"s\","
		 "\"organizer\":{\"email\":\"o@b.test\"},\"attendees\":[{\"email\":\"a@b.test\"}]}",
		 "/attachments/1/type", "\"text/calendar; method=CANCEL; charset=UTF-8\""},
		{",\"categories\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\"]",
		 "!", "more than 10 categories"},
		{",\"custom_args\":{\"a\":1}", "!", "the custom argument \"a\" is no text"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char text[4000];
		struct va_error err = {""};
		struct json_object *from, *body, *found = NULL;
		struct mail mail;

		snprintf(text, sizeof(text), request, cases[i].more);
		from = json_parse(text, strlen(text), &err);
		check_that(mail_read(from, &mail, &err));
		body = sendgrid_body(&mail, &err);
		if (cases[i].pointer[0] == '!')
		{
			ok(body == NULL, "refused: %s", cases[i].wanted);
			is_str(err.text, cases[i].wanted, "with the reason");
		}
		else
		{
			json_pointer_get(body, cases[i].pointer, &found);
			is_str(found != NULL
					   ? json_object_to_json_string_ext(found, JSON_C_TO_STRING_PLAIN |
																   JSON_C_TO_STRING_NOSLASHESCAPE)
					   : NULL,
				   cases[i].wanted, "body: %s%s", cases[i].pointer, cases[i].more);
		}
		json_object_put(body);
		mail_free(&mail);
		json_object_put(from);
	}
	checked("requests are read");
}

static void
errors(void)
{
	static const char *const cases[][2] = {
		{"{\"errors\":[{\"message\":\"The from object must be "
		 "provided\",\"field\":\"from.email\",\"help\":null}]}",
		 "The from object must be provided (from.email)"},
		{"{\"errors\":[{\"message\":\"too many requests\",\"field\":null}]}", "too many requests"},
		{"{\"errors\":[]}", ""},
		{"{\"errors\":{}}", ""},
		{"<html>", ""},
		{"", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char text[60];

		sendgrid_read_error(cases[i][0], strlen(cases[i][0]), text, sizeof(text));
		is_str(text, cases[i][1], "error: %s", cases[i][0]);
	}
}

int
main(void)
{
	plan(0);
	signatures();
	events();
	bodies();
	errors();
	return done();
}
