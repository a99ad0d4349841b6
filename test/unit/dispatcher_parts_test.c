/*
 * dispatcher_parts_test.c: the parts of the dispatcher that need no database: lanes, judgements,
 * scrubbed texts.
 */
#include "dispatcher/lanes.h"

#include "core/json.h"
#include "dispatcher/job_private.h"
#include "dispatcher/scrub.h"
#include "tap.h"

static void
test_lanes(void)
{
	struct lanes lanes = {0};
	char *text;

	is_int(lanes_room(&lanes, LANE_LIVE, 100), 90, "live leaves a tenth to bulk");
	is_int(lanes_room(&lanes, LANE_BULK, 100), 80, "bulk leaves a fifth to live");
	is_int(lanes_room(&lanes, LANE_BULK, 1), 1, "one place is everybody's");
	for (int i = 0; i < 80; i++)
		lanes_enter(&lanes, LANE_BULK, i % 2 == 0 ? "1" : "-2");
	is_int(lanes_room(&lanes, LANE_BULK, 100), 0, "bulk has taken what it may");
	is_int(lanes_room(&lanes, LANE_LIVE, 100), 20, "live has the rest");
	is_int(lanes_room(&lanes, LANE_LIVE, 50), 0,
		   "with fewer places than are taken there is no room");
	text = lanes_text(&lanes);
	is_str(text, "{\"1\":40,\"-2\":40}", "each queue is counted");
	free(text);
	for (int i = 0; i < 80; i++)
		lanes_leave(&lanes, LANE_BULK, i % 2 == 0 ? "1" : "-2");
	text = lanes_text(&lanes);
	is_str(text, "{}", "and forgotten");
	free(text);
	is_int(lanes_busy(&lanes), 0, "all have left");
	lanes_free(&lanes);
}

static const struct judgement
{
	const char *what;
	const char *method;
	int status;
	bool sent;
	const char *error;
	enum job_outcome outcome;
	bool down;
	const char *code;
} judgements[] = {
	{"not connected", "POST", 0, false, "connection refused", JOB_RETRY, true, "not_reached"},
	{"no answer", "POST", 0, true, "timed out", JOB_UNKNOWN, true, "no_answer"},
	{"guarded", "POST", 0, false, "the address is on this machine or in a private network",
	 JOB_FAILED, false, "private_address"},
	{"400", "POST", 400, true, NULL, JOB_FAILED, false, "bad_request"},
	{"401", "POST", 401, true, NULL, JOB_FAILED, false, "unauthorized"},
	{"403", "POST", 403, true, NULL, JOB_FAILED, false, "forbidden"},
	{"404", "POST", 404, true, NULL, JOB_FAILED, false, "not_found"},
	{"409", "POST", 409, true, NULL, JOB_FAILED, false, "conflict"},
	{"418", "POST", 418, true, NULL, JOB_FAILED, false, "refused"},
	{"429", "POST", 429, true, NULL, JOB_RETRY, false, "too_many_requests"},
	{"500 of a POST", "POST", 500, true, NULL, JOB_UNKNOWN, true, "server_error"},
	{"500 of a GET", "GET", 500, true, NULL, JOB_RETRY, true, "server_error"},
	{"502", "PUT", 502, true, NULL, JOB_UNKNOWN, true, "server_error"},
	{"503", "POST", 503, true, NULL, JOB_RETRY, true, "unavailable"},
	{"redirect", "POST", 307, true, NULL, JOB_FAILED, false, "redirect"},
	{"204 where a body was hoped for", "POST", 204, true, NULL, JOB_UNKNOWN, false,
	 "unexpected_answer"},
};

static void
test_judge(void)
{
	for (size_t i = 0; i < sizeof(judgements) / sizeof(judgements[0]); i++)
	{
		const struct judgement *j = &judgements[i];
		struct job job = {0};
		struct http_reply reply = {.status = j->status,
								   .body = "words",
								   .sent = j->sent,
								   .error = j->error,
								   .retry_after_s = 7};
		struct job_verdict v;

		snprintf(job.method, sizeof(job.method), "%s", j->method);
		job_judge(&job, &reply, &v);
		ok(v.outcome == j->outcome && v.provider_down == j->down && strcmp(v.code, j->code) == 0,
		   "%s: outcome %d, code %s", j->what, v.outcome, v.code);
		check_that(v.http_status == j->status && v.text != NULL);
		check_that(j->outcome != JOB_FAILED || v.hint != NULL);
		check_that(j->status == 0 || v.retry_after_s == 7);
	}
	checked("every judgement has the words, and every refusal says what to do");
}

static void
test_scrub(void)
{
	static const char request[] =
		"{\"auth_token\": \"tok-12345\", \"form\": {\"Body\": \"hello there\"}, \"api_key\": "
		"\"abc\","
		" \"headers\": [{\"Authorization\": \"Bearer xyz-789\"}],"
		" \"credentials\": {\"user\": \"someone\", \"pass\": \"hunter22\"}}";
	struct json_object *secrets = json_parse(request, sizeof(request) - 1, NULL);
	char text[64];
	char long_text[8000];

	scrub_text(text, sizeof(text), "bad tok-12345 and tok-12345!", secrets);
	is_str(text, "bad *** and ***!", "secrets are taken out");
	scrub_text(text, sizeof(text), "Bearer xyz-789, hunter22, hello there, abc", secrets);
	is_str(text, "***, ***, hello there, abc", "by the name of their member, if long enough");
	scrub_text(text, sizeof(text),
			   "a\x01"
			   "b\xff"
			   "c\xc3\xa4\n",
			   NULL);
	is_str(text, "a b?c\xc3\xa4\n", "what jsonb does not take is taken out too");
	memset(long_text, 'x', sizeof(long_text));
	memcpy(long_text + 55, "tok-12345", 9);
	long_text[sizeof(long_text) - 1] = '\0';
	scrub_text(text, sizeof(text), long_text, secrets);
	ok(strstr(text, "tok") == NULL && strlen(text) < sizeof(text),
	   "a cut leaves no half secret: %s", text);
	json_object_put(secrets);
}

int
main(void)
{
	plan(0);
	test_lanes();
	test_judge();
	test_scrub();
	return done();
}
