/* twilio_rest: forms, addresses, resources, errors, lists and dates of Twilio's REST API. */
#include "core/twilio_rest.h"

#include "tap.h"

#define AC "AC00000000000000000000000000000001"
#define CA "CA00000000000000000000000000000001"
#define CALL                                                                                       \
	"\"to\":\"+15551230009\",\"from\":\"+15551230002\",\"direction\":\"outbound-api\","            \
	"\"date_created\":\"Tue, 06 Oct 2026 15:00:00 +0000\",\"status\":\"queued\""

static void
addresses(void)
{
	static const struct
	{
		const char *base, *account, *path, *wanted;
	} cases[] = {
		{"https://api.twilio.com", AC, "Calls.json",
		 "https://api.twilio.com/2010-04-01/Accounts/" AC "/Calls.json"},
		{"http://127.0.0.1:1/twilio/", AC, "Calls/" CA ".json",
		 "http://127.0.0.1:1/twilio/2010-04-01/Accounts/" AC "/Calls/" CA ".json"},
		{"https://api.twilio.com", AC, "Calls.json?To=%2B1555&PageSize=50",
		 "https://api.twilio.com/2010-04-01/Accounts/" AC "/Calls.json?To=%2B1555&PageSize=50"},
		{"https://api.twilio.com", AC, "../" AC "/Calls.json", NULL},
		{"https://api.twilio.com", AC, "/Calls.json", NULL},
		{"https://api.twilio.com", AC, "Calls.json\r\nX: y", NULL},
		{"https://api.twilio.com", AC, "a b", NULL},
		{"https://api.twilio.com", AC, "a@b", NULL},
		{"https://api.twilio.com", AC, "", NULL},
		{"https://api.twilio.com", "AC1", "Calls.json", NULL},
		{"https://api.twilio.com", "AC0000000000000000000000000000000/", "Calls.json", NULL},
		{"ftp://api.twilio.com", AC, "Calls.json", NULL},
		{"", AC, "Calls.json", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char data[256];
		struct buf out;
		struct va_error err = {""};
		bool good;

		buf_init(&out, data, sizeof(data));
		good = twilio_rest_url(&out, cases[i].base, cases[i].account, cases[i].path, &err);
		is_str(good ? data : NULL, cases[i].wanted, "address %zu", i + 1);
		check_that(good == (err.text[0] == '\0'));
	}
	checked("a refused address has a reason");
}

static void
next_pages(void)
{
	char data[256];
	struct buf out;

	buf_init(&out, data, sizeof(data));
	ok(twilio_rest_next_url(&out, "http://h/twilio", AC,
							"/2010-04-01/Accounts/" AC "/Calls.json?Page=1", NULL),
	   "a next page of the account");
	is_str(data, "http://h/twilio/2010-04-01/Accounts/" AC "/Calls.json?Page=1", "its address");
	buf_init(&out, data, sizeof(data));
	ok(!twilio_rest_next_url(&out, "http://h", AC, "http://elsewhere/", NULL),
	   "a next page elsewhere is refused: the password would go there");
	ok(!twilio_rest_next_url(&out, "http://h", AC,
							 "/2010-04-01/Accounts/AC00000000000000000000000000000002/Calls.json",
							 NULL),
	   "nor one of another account");
}

static void
forms(void)
{
	static const struct
	{
		const char *json, *wanted;
	} cases[] = {
		{"{\"To\":\"+15551230009\",\"From\":\"whatsapp:+1\"}",
		 "To=%2B15551230009&From=whatsapp%3A%2B1"},
		{"{\"StatusCallbackEvent\":[\"initiated\",\"ringing\"],\"Timeout\":30,\"Record\":true}",
		 "StatusCallbackEvent=initiated&StatusCallbackEvent=ringing&Timeout=30&Record=true"},
		{"{\"a\":null,\"b\":\"\",\"c\":[]}", "b="},
		{"{\"Body\":\"a b&c=d\\u00e9\\n\\ud83d\\ude00\"}",
		 "Body=a%20b%26c%3Dd%C3%A9%0A%F0%9F%98%80"},
		{"{}", ""},
		{"{\"a\":{\"b\":1}}", NULL},
		{"{\"a\":[[1]]}", NULL},
		{"{\"a\":\"x\\u0000y\"}", NULL},
		{"[1]", NULL},
	};
	char tiny[8];
	struct buf out;
	struct json_object *form;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char data[256];

		form = json_tokener_parse(cases[i].json);
		buf_init(&out, data, sizeof(data));
		is_str(twilio_rest_form(&out, form, NULL) ? data : NULL, cases[i].wanted, "form of %s",
			   cases[i].json);
		json_object_put(form);
	}
	form = json_tokener_parse("{\"To\":\"+15551230009\"}");
	buf_init(&out, tiny, sizeof(tiny));
	ok(!twilio_rest_form(&out, form, NULL), "a form that does not fit is refused, not cut");
	json_object_put(form);
}

static void
resources(void)
{
	struct twilio_rest_resource r;
	struct va_error err = {""};
	const char *call = "{\"sid\":\"" CA "\"," CALL "}";
	const char *seat = "{\"call_sid\":\"" CA "\",\"status\":\"queued\"}";
	static const char *const bad[] = {
		"",		"{", "{\"sid\":\"CA1\"}",	 "{\"sid\":7}",			  "[]",
		"null", "7", "<html>502 Bad</html>", "{\"sid\":\"" CA "\"} x"};

	ok(twilio_rest_resource(call, strlen(call), &r, &err), "a call");
	is_str(r.sid, CA, "its SID");
	is_str(r.status, "queued", "its status");
	is_int(r.created, 1791298800, "when it was created");
	ok(twilio_rest_resource(seat, strlen(seat), &r, &err) && strcmp(r.sid, CA) == 0,
	   "a participant is known by its call");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_that(!twilio_rest_resource(bad[i], strlen(bad[i]), &r, &err) && r.sid[0] == '\0' &&
				   err.text[0] != '\0');
	checked("what is no resource is refused with a reason");
}

static void
errors(void)
{
	struct twilio_rest_error e;
	const char *plain =
		"{\"code\":21211,\"message\":\"The 'To' number is not\\nvalid.\","
		"\"more_info\":\"https://www.twilio.com/docs/errors/21211\",\"status\":400}";
	const char *no_code = "{\"message\":\"Gone\",\"status\":404}";
	const char *odd = "{\"code\":\"21211\",\"message\":\"x\"}";
	char big[2048];
	struct buf out;

	ok(twilio_rest_error(plain, strlen(plain), &e), "an error");
	is_int(e.code, 21211, "its code");
	is_str(e.message, "The 'To' number is not valid.", "its words, in one line");
	ok(twilio_rest_error(no_code, strlen(no_code), &e) && e.code == 0, "without a code");
	ok(twilio_rest_error(odd, strlen(odd), &e) && e.code == 0, "a code that is a text is none");
	ok(!twilio_rest_error("<html>", 6, &e) && e.code == 0, "an HTML page is none");
	buf_init(&out, big, sizeof(big));
	buf_str(&out, "{\"message\":\"");
	for (int i = 0; i < 400; i++)
		buf_str(&out, "\xC3\xA9");
	buf_str(&out, "\"}");
	ok(twilio_rest_error(big, out.len, &e), "a long error");
	is_int((int64_t) strlen(e.message), TWILIO_REST_TEXT_SIZE - 2, "is cut between characters");
}

static void
codes(void)
{
	int last = 0;

	for (const struct twilio_rest_code *c = twilio_rest_codes; c->code != 0; c++)
	{
		check_that(c->code > last);
		check_that(twilio_rest_code(c->code) == c);
		check_that(c->meaning[0] != '\0' && c->hint[0] != '\0');
		last = c->code;
	}
	checked("codes rise, are found, and have words");
	ok(twilio_rest_code(1) == NULL && twilio_rest_code(99999) == NULL &&
		   twilio_rest_code(0) == NULL && twilio_rest_code(-5) == NULL,
	   "unknown codes are unknown");
	is_int(twilio_rest_code(21610)->kind, TWILIO_REST_REFUSED, "21610 is a refusal by the person");
	is_int(twilio_rest_code(20429)->kind, TWILIO_REST_LATER, "20429 is for later");
}

#define ITEM(sid, created, body)                                                                   \
	"{\"sid\":\"" sid "\",\"to\":\"+1\",\"from\":\"+2\",\"direction\":\"outbound-api\","           \
	"\"date_created\":\"" created "\",\"body\":\"" body "\"}"
#define SM1 "SM00000000000000000000000000000001"
#define SM2 "SM00000000000000000000000000000002"
#define SM3 "SM00000000000000000000000000000003"

static void
lists(void)
{
	static const char page[] =
		"{\"messages\":[" ITEM(SM1, "Tue, 06 Oct 2026 15:00:10 +0000",
							   "hi") "," ITEM(SM2, "Tue, 06 Oct 2026 15:00:20 +0000",
											  "ho") "," ITEM(SM3, "Tue, 06 Oct 2026 14:00:00 +0000",
															 "hi") "],\"next_page_uri\":null}";
	struct twilio_rest_wanted w = {.list = "messages", .to = "+1", .since = 1791298800};
	struct twilio_rest_found f = {0};
	struct json_object *known = json_object_new_array();
	static const char *const bad[] = {
		"{}", "{\"messages\":{}}", "{\"messages\":[{}]}", "{\"messages\":[7]}",
		"{\"messages\":[{\"sid\":\"" SM1 "\",\"date_created\":\"yesterday\"}]}"};

	ok(twilio_rest_find(page, strlen(page), &w, &f, NULL), "a list");
	is_int(f.count, 2, "those since the attempt");
	memset(&f, 0, sizeof(f));
	w.body = "hi";
	ok(twilio_rest_find(page, strlen(page), &w, &f, NULL) && f.count == 1 &&
		   strcmp(f.first.sid, SM1) == 0,
	   "the one with this text");
	json_object_array_add(known, json_object_new_string(SM1));
	w.known = known;
	memset(&f, 0, sizeof(f));
	ok(twilio_rest_find(page, strlen(page), &w, &f, NULL) && f.count == 0,
	   "what belongs to another is not it");
	w.known = NULL;
	w.from = "+3";
	ok(twilio_rest_find(page, strlen(page), &w, &f, NULL) && f.count == 0, "from another number");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_that(!twilio_rest_find(bad[i], strlen(bad[i]), &w, &f, NULL));
	checked("a list with an entry that cannot be read says nothing about absence");
	json_object_put(known);
}

static void
dates(void)
{
	static const struct
	{
		const char *text;
		int64_t wanted;
	} cases[] = {
		{"Thu, 01 Jan 1970 00:00:00 +0000", 0},
		{"Tue, 06 Oct 2026 15:00:00 +0000", 1791298800},
		{"Tue, 06 Oct 2026 17:00:00 +0200", 1791298800},
		{"Tue, 06 Oct 2026 13:30:00 -0130", 1791298800},
		{"06 Oct 2026 15:00:00 GMT", 1791298800},
		{"Sat, 29 Feb 2020 12:00:00 +0000", 1582977600},
		{"", -1},
		{"Tue, 6 Oct 2026 15:00:00 +0000", -1},
		{"Tue, 06 Foo 2026 15:00:00 +0000", -1},
		{"Tue, 06 Oct 2026 25:00:00 +0000", -1},
		{"Tue, 06 Oct 2026 15:00:00 +00", -1},
		{"Tue, 06 Oct 2026 15:00:00", -1},
		{"2026-10-06T15:00:00Z", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(twilio_rest_date(cases[i].text), cases[i].wanted, "date \"%s\"", cases[i].text);
}

int
main(void)
{
	plan(0);
	addresses();
	next_pages();
	forms();
	resources();
	errors();
	codes();
	lists();
	dates();
	return done();
}
