/* odoo: one call in four transports to the letter, answers and faults of each, and scripts. */
#include "core/odoo.h"

#include "core/json.h"
#include "core/odoo_script.h"
#include "tap.h"

static const struct odoo_login login = {
	.url = "https://odoo.example.test",
	.database = "acme",
	.login = "bot@example.test",
	.secret = "k-123",
	.uid = 7,
	.rest_path = "/api/v2",
	.rest_header = "X-API-Key",
};

static struct json_object *
json(const char *text)
{
	struct va_error err = {""};
	struct json_object *value = text != NULL ? json_parse(text, strlen(text), &err) : NULL;

	if (value == NULL && text != NULL)
		diag("bad JSON in the test: %s: %s", err.text, text);
	return value;
}

/* ---- requests ----------------------------------------------------------------------------------- */

struct request_case
{
	const char *name;
	enum odoo_transport transport;
	const char *model;
	const char *method;
	const char *ids;
	const char *args;
	const char *context;
	const char *wanted; /* "METHOD URL\nheaders\n\nbody", or the error */
};

#define JSON_TYPE "Content-Type: application/json; charset=utf-8\n"
#define RPC(args)                                                                                  \
	"POST https://odoo.example.test/jsonrpc\n" JSON_TYPE                                           \
	"\n{\"jsonrpc\":\"2.0\",\"method\":\"call\",\"id\":1,\"params\":{\"service\":\"object\","      \
	"\"method\":\"execute_kw\",\"args\":[\"acme\",7,\"k-123\"," args "]}}"
#define JSON2(path, body)                                                                          \
	"POST https://odoo.example.test/json/2/" path "\n" JSON_TYPE                                   \
	"Authorization: Bearer k-123\nX-Odoo-Database: acme\n\n" body
#define V(x) "<value>" x "</value>"
#define P(x) "<param>" V(x) "</param>"
#define S(x) "<string>" x "</string>"
#define XML(params)                                                                                \
	"POST https://odoo.example.test/xmlrpc/2/object\n"                                             \
	"Content-Type: text/xml; charset=utf-8\n\n"                                                    \
	"<?xml version=\"1.0\"?><methodCall><methodName>execute_kw</methodName><params>" P(S("acme"))  \
		P("<int>7</int>") P(S("k-123")) params "</params></methodCall>"
#define REST_HEAD "Accept: application/json\nX-API-Key: k-123\n"

static const struct request_case request_cases[] = {
	{"write", ODOO_JSON2, "crm.lead", "write", "[41]", "{\"vals\":{\"priority\":\"2\"}}",
	 "{\"lang\":\"en_US\"}",
	 JSON2("crm.lead/write",
		   "{\"vals\":{\"priority\":\"2\"},\"ids\":[41],\"context\":{\"lang\":\"en_US\"}}")},
	{"write", ODOO_JSONRPC, "crm.lead", "write", "[41]", "{\"vals\":{\"priority\":\"2\"}}",
	 "{\"lang\":\"en_US\"}",
	 RPC("\"crm.lead\",\"write\",[[41],{\"priority\":\"2\"}],{\"context\":{\"lang\":\"en_US\"}}")},
	{"write", ODOO_XMLRPC, "crm.lead", "write", "[41]", "{\"vals\":{\"priority\":\"2\"}}", NULL,
	 XML(P(S("crm.lead")) P(S("write"))
			 P("<array><data>" V("<array><data>" V("<int>41</int>") "</data></array>")
				   V("<struct><member><name>priority</name>" V(
					   S("2")) "</member></struct>") "</data></array>") P("<struct></struct>"))},
	{"write", ODOO_REST, "crm.lead", "write", "[41]", "{\"vals\":{\"priority\":\"2\"}}", NULL,
	 "PUT https://odoo.example.test/api/v2/crm.lead/41\n" JSON_TYPE REST_HEAD
	 "\n{\"priority\":\"2\"}"},
	{"create", ODOO_JSON2, "crm.tag", "create", NULL, "{\"vals_list\":[{\"name\":\"a\"}]}", NULL,
	 JSON2("crm.tag/create", "{\"vals_list\":[{\"name\":\"a\"}]}")},
	{"create", ODOO_JSONRPC, "crm.tag", "create", NULL, "{\"vals_list\":[{\"name\":\"a\"}]}", NULL,
	 RPC("\"crm.tag\",\"create\",[[{\"name\":\"a\"}]],{}")},
	{"create", ODOO_REST, "crm.tag", "create", NULL, "{\"vals_list\":[{\"name\":\"a\"}]}", NULL,
	 "POST https://odoo.example.test/api/v2/crm.tag\n" JSON_TYPE REST_HEAD "\n{\"name\":\"a\"}"},
	{"named arguments stay so", ODOO_JSONRPC, "crm.lead", "search_read", NULL,
	 "{\"domain\":[],\"limit\":1}", NULL,
	 RPC("\"crm.lead\",\"search_read\",[],{\"domain\":[],\"limit\":1}")},
	{"two by position", ODOO_JSONRPC, "crm.lead", "load", NULL,
	 "{\"data\":[[\"1\"]],\"fields\":[\"id\"]}", NULL,
	 RPC("\"crm.lead\",\"load\",[[\"id\"],[[\"1\"]]],{}")},
	{"search", ODOO_REST, "crm.lead", "search_read", NULL,
	 "{\"domain\":[[\"x\",\"=\",\"a b\"]],\"fields\":[\"id\"],\"limit\":1}", NULL,
	 "GET https://odoo.example.test/api/v2/"
	 "crm.lead?domain=%5B%5B%22x%22%2C%22%3D%22%2C%22a%20b%22%5D%5D&fields=%5B%22id%22%5D&limit=1\n"
	 "Accept: application/json\nX-API-Key: k-123\n\n"},
	{"unlink", ODOO_REST, "crm.lead", "unlink", "[3]", NULL, NULL,
	 "DELETE https://odoo.example.test/api/v2/crm.lead/3\n" REST_HEAD "\n"},
	{"a method", ODOO_REST, "crm.lead", "message_post", "[3]", "{\"body\":\"x\"}", NULL,
	 "the REST gateway cannot call the method message_post"},
	{"two at once", ODOO_REST, "crm.lead", "write", "[3,4]", "{\"vals\":{}}", NULL,
	 "the REST gateway writes one record at a time"},
	{"values of every type, escaped", ODOO_XMLRPC, "m", "f", NULL,
	 "{\"a\":null,\"b\":true,\"c\":-5,\"d\":1.5,\"e\":\"<&>\\u0001\\n\\r\"}", NULL,
	 XML(P(S("m")) P(S("f")) P("<array><data></data></array>") P(
		 "<struct><member><name>a</name>" V("<nil/>") "</member><member><name>b</name>" V(
			 "<boo"
			 "lean"
			 ">1</"
			 "bool"
			 "ean"
			 ">") "</member><member><name>c</name>" V("<int>-5</int>") "</member><member><name>d</"
																	   "name>" V(
																		   "<double>1.5</"
																		   "double>") "</"
																					  "memb"
																					  "er><"
																					  "memb"
																					  "er><"
																					  "name"
																					  ">e</"
																					  "name"
																					  ">" V(S(
																						  "&l"
																						  "t;"
																						  "&a"
																						  "mp"
																						  ";&"
																						  "gt"
																						  "; "
																						  "\n"
																						  "&#"
																						  "13"
																						  ";")) "</"
																								"me"
																								"mb"
																								"er"
																								"><"
																								"/s"
																								"tr"
																								"uc"
																								"t"
																								">"))},
	{"a number too large", ODOO_XMLRPC, "m", "f", NULL, "{\"a\":2147483648}", NULL,
	 "XML-RPC has no numbers beyond 32 bits"},
	{"a model that leaves the path", ODOO_JSON2, "crm/../x", "f", NULL, NULL, NULL,
	 "not the name of a model or method"},
	{"a method with a query", ODOO_JSON2, "m", "f?x", NULL, NULL, NULL,
	 "not the name of a model or method"},
	{"ids that are no list", ODOO_JSON2, "m", "f", "{}", NULL, NULL, "ids must be an array"},
};

static void
is_request(const struct request_case *c)
{
	struct va_error err = {""};
	struct odoo_request out;
	struct odoo_call call = {c->model, c->method, json(c->ids), json(c->args), json(c->context)};
	char got[4000];

	if (odoo_request_print(c->transport, &login, &call, &out, &err))
	{
		int at = snprintf(got, sizeof(got), "%s %s\n", out.method, out.url);

		for (int i = 0; out.headers[i] != NULL; i++)
			at += snprintf(got + at, sizeof(got) - (size_t) at, "%s\n", out.headers[i]);
		snprintf(got + at, sizeof(got) - (size_t) at, "\n%s", out.body != NULL ? out.body : "");
		check_that(out.body == NULL || strlen(out.body) == out.body_len);
		odoo_request_free(&out);
	}
	else
		snprintf(got, sizeof(got), "%s", err.text);
	is_str(got, c->wanted, "%s by %s", c->name, odoo_transport_name(c->transport));
	json_object_put(call.ids);
	json_object_put(call.args);
	json_object_put(call.context);
}

static void
requests(void)
{
	static const char *const bad_urls[] = {"odoo.example.test", "https://",			"ftp://x",
										   "https://x/",		"https://x?y",		"https://a b",
										   "https://u@x",		"https://x\r\nA: b"};
	struct odoo_login other = login;
	struct odoo_call call = {"m", "f", NULL, NULL, NULL};
	struct odoo_request out;
	struct va_error err = {""};

	for (size_t i = 0; i < sizeof(request_cases) / sizeof(request_cases[0]); i++)
		is_request(&request_cases[i]);
	for (size_t i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++)
	{
		other.url = bad_urls[i];
		ok(!odoo_request_print(ODOO_JSON2, &other, &call, &out, &err), "no URL: number %zu", i);
	}
	other = login;
	other.secret = "a\r\nX-Evil: 1";
	err.text[0] = '\0';
	ok(!odoo_request_print(ODOO_JSON2, &other, &call, &out, &err) &&
		   strstr(err.text, "Evil") == NULL,
	   "no header can be slipped in: %s", err.text);
	other = login;
	other.bearer = "token";
	call = (struct odoo_call){"m", "create", NULL, json("{\"vals_list\":[{}]}"), NULL};
	ok(odoo_request_print(ODOO_REST, &other, &call, &out, &err) &&
		   strcmp(out.headers[2], "Authorization: Bearer token") == 0,
	   "a token takes the key's place");
	json_object_put(call.args);
	odoo_request_free(&out);
	ok(odoo_authenticate_print(ODOO_XMLRPC, &login, &out, &err) &&
		   strstr(out.url, "/xmlrpc/2/common") != NULL &&
		   strstr(out.body, "<methodName>authenticate</methodName>") != NULL,
	   "login over XML-RPC");
	odoo_request_free(&out);
	ok(odoo_version_print(ODOO_JSON2, &login, &out, &err) && strcmp(out.method, "GET") == 0 &&
		   strstr(out.url, "/web/version") != NULL,
	   "the version needs no login");
	odoo_request_free(&out);
	ok(!odoo_authenticate_print(ODOO_JSON2, &login, &out, &err), "JSON-2 has no login");
}

/* ---- answers ------------------------------------------------------------------------------------ */

#define J2(name, text)                                                                             \
	"{\"name\":\"" name "\",\"message\":\"" text                                                   \
	"\",\"arguments\":[],\"context\":{},\"debug\":\"secret\"}"
#define JE(name, text)                                                                             \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":0,\"message\":\"Odoo Server "               \
	"Error\",\"data\":"                                                                            \
	"{\"name\":\"" name "\",\"message\":\"" text "\",\"debug\":\"secret\"}}}"
#define XR(value)                                                                                  \
	"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value>" value                    \
	"</value>\n</param>\n</params>\n</methodResponse>\n"
#define XF(code, text)                                                                             \
	"<?xml version='1.0'?><methodResponse><fault><value><struct><member><name>faultCode</name>"    \
	"<value><int>" code                                                                            \
	"</int></value></member><member><name>faultString</name><value><string>" text                  \
	"</string></value></member></struct></value></fault></methodResponse>"

static const struct
{
	const char *name;
	enum odoo_transport transport;
	int status;
	const char *body;
	enum odoo_fault fault;
	const char *wanted; /* the value, or the words */
} answer_cases[] = {
	{"a list", ODOO_JSON2, 200, "[42]", ODOO_OK, "[42]"},
	{"true", ODOO_JSON2, 200, " true\n", ODOO_OK, "true"},
	{"null", ODOO_JSON2, 200, "null", ODOO_OK, "null"},
	{"an unknown field", ODOO_JSON2, 500,
	 J2("builtins.ValueError", "Invalid field 'x' in 'crm.lead'"), ODOO_MISSING_FIELD,
	 "Invalid field 'x' in 'crm.lead'"},
	{"an unknown column of load", ODOO_JSON2, 500,
	 J2("builtins.ValueError", "Invalid field name 'x'"), ODOO_MISSING_FIELD,
	 "Invalid field name 'x'"},
	{"a bad selection", ODOO_JSON2, 500,
	 J2("builtins.ValueError", "Wrong value for crm.lead.priority: '9'"), ODOO_BAD_VALUE,
	 "Wrong value for crm.lead.priority: '9'"},
	{"a bad key", ODOO_JSON2, 401, J2("werkzeug.exceptions.Unauthorized", "Invalid apikey"),
	 ODOO_ACCESS_DENIED, "Invalid apikey"},
	{"no right", ODOO_JSON2, 403, J2("odoo.exceptions.AccessError", "You are\\nnot allowed"),
	 ODOO_ACCESS_RIGHTS, "You are not allowed"},
	{"deleted", ODOO_JSON2, 404, J2("odoo.exceptions.MissingError", "gone"), ODOO_MISSING_RECORD,
	 "gone"},
	{"no such method", ODOO_JSON2, 404, J2("werkzeug.exceptions.NotFound", "no"),
	 ODOO_MISSING_METHOD, "no"},
	{"another database", ODOO_JSON2, 404, "<!DOCTYPE html>\n<title>404", ODOO_WRONG_DATABASE,
	 "a page instead of an answer (404)"},
	{"a redirect", ODOO_JSON2, 303, "", ODOO_NOT_ODOO, "a page instead of an answer"},
	{"a page with 200", ODOO_JSON2, 200, "<html>", ODOO_GARBAGE, "an answer that is no JSON"},
	{"locked", ODOO_JSON2, 409, J2("odoo.exceptions.LockError", "l"), ODOO_BUSY, "l"},
	{"a rule", ODOO_JSON2, 422, J2("odoo.exceptions.ValidationError", "v"), ODOO_VALIDATION, "v"},
	{"a wrong argument", ODOO_JSON2, 422, J2("werkzeug.exceptions.UnprocessableEntity", "u"),
	 ODOO_BAD_VALUE, "u"},
	{"serialization", ODOO_JSON2, 500, J2("psycopg2.errors.SerializationFailure", "s"), ODOO_BUSY,
	 "s"},
	{"another error", ODOO_JSON2, 500, J2("psycopg2.errors.DiskFull", "d"), ODOO_SERVER, "d"},
	{"an expired session", ODOO_JSON2, 403, J2("odoo.http.SessionExpiredException", "e"),
	 ODOO_SESSION_EXPIRED, "e"},
	{"too many", ODOO_JSON2, 429, "slow down", ODOO_RATE, "a page instead of an answer"},
	{"a proxy", ODOO_JSON2, 502, "<html>", ODOO_DOWN, "a page instead of an answer"},
	{"cut in the middle", ODOO_JSON2, 200, "[4", ODOO_GARBAGE, "an answer that is no JSON"},
	{"a result", ODOO_JSONRPC, 200, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7}", ODOO_OK, "7"},
	{"neither result nor error", ODOO_JSONRPC, 200, "{\"jsonrpc\":\"2.0\",\"id\":1}", ODOO_OK,
	 "null"},
	{"denied", ODOO_JSONRPC, 200, JE("odoo.exceptions.AccessDenied", "Access Denied"),
	 ODOO_ACCESS_DENIED, "Access Denied"},
	{"no database", ODOO_JSONRPC, 200,
	 JE("psycopg2.OperationalError", "FATAL:  database \\\"x\\\" does not exist\\n"),
	 ODOO_WRONG_DATABASE, "FATAL: database \"x\" does not exist"},
	{"its database is down", ODOO_JSONRPC, 200, JE("psycopg2.OperationalError", "refused"),
	 ODOO_DOWN, "refused"},
	{"no model", ODOO_JSONRPC, 200, JE("odoo.exceptions.UserError", "Object x.y doesn't exist"),
	 ODOO_MISSING_METHOD, "Object x.y doesn't exist"},
	{"no method", ODOO_JSONRPC, 200, JE("builtins.AttributeError", "a"), ODOO_MISSING_METHOD, "a"},
	{"a session", ODOO_JSONRPC, 200,
	 "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":100,\"message\":\"Odoo Session Expired\"}}",
	 ODOO_SESSION_EXPIRED, "Odoo Session Expired"},
	{"no route", ODOO_JSONRPC, 404, "<html>", ODOO_MISSING_METHOD, ""},
	{"no JSON-RPC", ODOO_JSONRPC, 200, "{\"result\":7}", ODOO_GARBAGE,
	 "an answer that is no JSON-RPC"},
	{"an int", ODOO_XMLRPC, 200, XR("<int>16</int>"), ODOO_OK, "16"},
	{"false", ODOO_XMLRPC, 200, XR("<boolean>0</boolean>"), ODOO_OK, "false"},
	{"text without a type", ODOO_XMLRPC, 200, XR("a &amp; &#x20AC;"), ODOO_OK,
	 "\"a & \xE2\x82\xAC\""},
	{"all types", ODOO_XMLRPC, 200,
	 XR("<array><data>\n<value><struct>\n<member>\n<name>a</name>\n<value><double>1.5</double></"
		"value>\n</member>\n</struct></value>\n"
		"<value><nil/></value><value><string></string></value><value/><value><array><data></data></"
		"array></value></data></array>"),
	 ODOO_OK, "[{\"a\":1.5},null,\"\",\"\",[]]"},
	{"denied", ODOO_XMLRPC, 200, XF("3", "Access Denied"), ODOO_ACCESS_DENIED, "Access Denied"},
	{"no right", ODOO_XMLRPC, 200, XF("4", "no"), ODOO_ACCESS_RIGHTS, "no"},
	{"a rule", ODOO_XMLRPC, 200, XF("2", "v"), ODOO_VALIDATION, "v"},
	{"deleted", ODOO_XMLRPC, 200,
	 XF("2", "Record does not exist or has been deleted.\n(Record: crm.lead(9,), User: 2)"),
	 ODOO_MISSING_RECORD,
	 "Record does not exist or has been deleted. (Record: crm.lead(9,), User: 2)"},
	{"a traceback", ODOO_XMLRPC, 200,
	 XF("1", "Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nValueError: "
			 "Invalid field 'x' on model 'crm.lead'\n"),
	 ODOO_MISSING_FIELD, "Invalid field 'x' on model 'crm.lead'"},
	{"a traceback of the database", ODOO_XMLRPC, 200,
	 XF("1",
		"Traceback:\n  File\npsycopg2.OperationalError: FATAL:  database \"x\" does not exist\n"),
	 ODOO_WRONG_DATABASE, "FATAL: database \"x\" does not exist"},
	{"None cannot be sent, but was done", ODOO_XMLRPC, 200,
	 XF("1", "Traceback\nTypeError: cannot marshal None unless allow_none is enabled\n"), ODOO_OK,
	 "null"},
	{"a document type", ODOO_XMLRPC, 200, "<!DOCTYPE x [<!ENTITY a \"b\">]>" XR("&a;"),
	 ODOO_GARBAGE, "broken XML-RPC: an element is missing or not where it belongs"},
	{"an entity", ODOO_XMLRPC, 200, XR("&a;"), ODOO_GARBAGE,
	 "broken XML-RPC: an entity that there is not"},
	{"a large int", ODOO_XMLRPC, 200, XR("<int>2147483648</int>"), ODOO_GARBAGE,
	 "broken XML-RPC: a value is not of its type"},
	{"more behind it", ODOO_XMLRPC, 200, XR("1") "x", ODOO_GARBAGE,
	 "broken XML-RPC: there is more than one answer, or less"},
	{"cut in the middle", ODOO_XMLRPC, 200, "<methodResponse><params><param><value><int>1",
	 ODOO_GARBAGE, "broken XML-RPC: a text does not end"},
	{"a bare id", ODOO_REST, 201, "17", ODOO_OK, "17"},
	{"an id inside", ODOO_REST, 200, "{\"data\":{\"id\":17}}", ODOO_OK, "{\"id\":17}"},
	{"nothing", ODOO_REST, 204, "", ODOO_OK, "null"},
	{"detail", ODOO_REST, 422, "{\"detail\":\"bad\"}", ODOO_VALIDATION, "bad"},
	{"error.message", ODOO_REST, 400, "{\"error\":{\"message\":\"bad\"}}", ODOO_BAD_VALUE, "bad"},
	{"an error with 200", ODOO_REST, 200, "{\"success\":false,\"message\":\"no\"}", ODOO_VALIDATION,
	 "no"},
	{"a class", ODOO_REST, 400,
	 "{\"error\":{\"name\":\"odoo.exceptions.AccessError\",\"message\":\"no\"}}",
	 ODOO_ACCESS_RIGHTS, "no"},
	{"no such record", ODOO_REST, 404, "{\"error\":\"not found\"}", ODOO_MISSING_RECORD,
	 "not found"},
	{"no such path", ODOO_REST, 404, "<html>", ODOO_MISSING_METHOD, "an answer that is no JSON"},
	{"a wrong key", ODOO_REST, 401, "{\"error\":\"key\"}", ODOO_ACCESS_DENIED, "key"},
};

static void
answers(void)
{
	for (size_t i = 0; i < sizeof(answer_cases) / sizeof(answer_cases[0]); i++)
	{
		char *body = tap_exact(answer_cases[i].body, strlen(answer_cases[i].body));
		struct odoo_answer a;

		odoo_reply_read(answer_cases[i].transport, answer_cases[i].status, body,
						strlen(answer_cases[i].body), &a);
		is_str(odoo_fault_name(a.fault), odoo_fault_name(answer_cases[i].fault), "%s by %s",
			   answer_cases[i].name, odoo_transport_name(answer_cases[i].transport));
		is_str(a.fault == ODOO_OK ? json_object_to_json_string_ext(a.value, JSON_C_TO_STRING_PLAIN)
								  : a.text,
			   answer_cases[i].wanted, "... and says");
		odoo_answer_clear(&a);
		free(body);
	}
	for (int i = ODOO_ACCESS_DENIED; i < ODOO_FAULTS; i++)
		check_that(odoo_fault_meaning(i)[0] != '\0' && odoo_fault_hint(i)[0] != '\0');
	checked("every fault has a meaning and a hint");
}

/* Deep and cut texts: no overflow of the stack, and every prefix is broken. */
static void
xml_bounds(void)
{
	static const char good[] = XR("<array><data><value><int>1</int></value></data></array>");
	char *deep = malloc(200 * 40 + 200);
	struct odoo_answer a;
	size_t at = 0;

	at += (size_t) snprintf(deep, 100, "<methodResponse><params><param>");
	for (int i = 0; i < 200; i++)
		at += (size_t) snprintf(deep + at, 41, "<value><array><data>");
	odoo_reply_read(ODOO_XMLRPC, 200, deep, at, &a);
	is_str(a.text, "broken XML-RPC: it is nested too deep or too long", "depth is bounded");
	free(deep);
	for (size_t len = 0; len < sizeof(good) - 2; len++)
	{
		char *part = tap_exact(good, len);

		odoo_reply_read(ODOO_XMLRPC, 200, part, len, &a);
		check_that(a.fault == ODOO_GARBAGE && a.value == NULL);
		free(part);
	}
	checked("every prefix of an answer is broken");
}

/* ---- scripts ------------------------------------------------------------------------------------ */

/* Walks a script with canned answers (JSON, or "!class" for a fault); returns "calls => result". */
static const char *
walk(const char *script, const char *const *replies)
{
	static char got[4000];
	struct va_error err = {""};
	struct json_object *request = json(script);
	struct odoo_script *s = odoo_script_new(request, &err);
	struct odoo_call call;
	enum odoo_next next;
	size_t at = 0;

	got[0] = '\0';
	if (s == NULL)
	{
		json_object_put(request);
		snprintf(got, sizeof(got), "%s", err.text);
		return got;
	}
	while ((next = odoo_script_next(s, &call)) == ODOO_NEXT_CALL)
	{
		struct odoo_answer a = {0};

		at += (size_t) snprintf(got + at, sizeof(got) - at, "%s.%s%s(%s) ", call.model, call.method,
								odoo_script_writes(s) ? "!" : "",
								json_object_to_json_string_ext(call.args, JSON_C_TO_STRING_PLAIN));
		if ((*replies)[0] == '!')
		{
			a.fault = ODOO_MISSING_FIELD;
			snprintf(a.text, sizeof(a.text), "%s", *replies + 1);
		}
		else
			a.value = json(*replies);
		replies++;
		odoo_script_answer(s, &a);
		odoo_answer_clear(&a);
	}
	if (next == ODOO_NEXT_DONE)
	{
		struct json_object *result = odoo_script_result(s);

		snprintf(got + at, sizeof(got) - at, "=> %s",
				 json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN));
		json_object_put(result);
	}
	else
	{
		struct odoo_failure f;

		odoo_script_failure(s, &f);
		snprintf(got + at, sizeof(got) - at, "failed %s: %s", f.code, f.text);
	}
	odoo_script_free(s);
	json_object_put(request);
	return got;
}

#define STEPS(steps) "{\"steps\":[" steps "]}"
#define FIND                                                                                       \
	"{\"as\":\"tag\",\"take\":\"id\",\"call\":{\"model\":\"t\",\"method\":\"search\",\"args\":{"   \
	"\"domain\":[]}}}"
#define MAKE                                                                                       \
	"{\"as\":\"tag\",\"take\":\"id\",\"unless\":\"tag\",\"call\":{\"model\":\"t\",\"method\":"     \
	"\"create\",\"args\":{\"vals_list\":[{}]}}}"
#define USE                                                                                        \
	"{\"call\":{\"model\":\"l\",\"method\":\"write\",\"ids\":[1],\"args\":{\"vals\":{\"n\":1,"     \
	"\"tag_ids\":[[4,{\"$\":\"tag\"}]],\"t\":{\"$\":\"tag\"}}}}}"
#define READ                                                                                       \
	"{\"as\":\"row\",\"take\":\"row\",\"call\":{\"model\":\"l\",\"method\":\"read\",\"ids\":[1]}," \
	"\"need\":{\"code\":\"missing_record\",\"text\":\"gone\"}}"
#define KEEP                                                                                       \
	"{\"keep\":{\"as\":\"row\",\"base\":{\"a\":1,\"b\":\"x\",\"c\":false}},\"call\":{\"model\":"   \
	"\"l\",\"method\":\"write\",\"ids\":[1],\"args\":{\"vals\":{\"a\":5,\"b\":\"y\",\"c\":9,"      \
	"\"d\":1}}}}"
#define WIN                                                                                        \
	"{\"same\":{\"as\":\"row\",\"base\":{\"a\":1}},\"writes\":[\"stage_id\"],\"call\":{\"model\":" \
	"\"l\",\"method\":\"action_set_won\",\"ids\":[1]}}"

static const struct
{
	const char *name;
	const char *script;
	const char *replies[5];
	const char *wanted;
} script_cases[] = {
	{"found: not made",
	 STEPS(FIND "," MAKE "," USE),
	 {"[3]", "true"},
	 "t.search({\"domain\":[]}) l.write!({\"vals\":{\"n\":1,\"tag_ids\":[[4,3]],\"t\":3}}) => "
	 "{\"values\":{\"tag\":3},\"written\":[\"n\",\"tag_ids\",\"t\"],\"warnings\":[]}"},
	{"not found: made",
	 STEPS(FIND "," MAKE "," USE),
	 {"[]", "[8]", "true"},
	 "t.search({\"domain\":[]}) t.create!({\"vals_list\":[{}]}) "
	 "l.write!({\"vals\":{\"n\":1,\"tag_ids\":[[4,8]],\"t\":8}}) => "
	 "{\"values\":{\"tag\":8},\"written\":[\"n\",\"tag_ids\",\"t\"],\"warnings\":[]}"},
	{"a fault ends it",
	 STEPS(FIND "," MAKE),
	 {"!no"},
	 "t.search({\"domain\":[]}) failed missing_field: Odoo has no such field: no"},
	{"gone", STEPS(READ "," KEEP), {"[]"}, "l.read(null) failed missing_record: gone"},
	{"what others changed is left alone",
	 STEPS(READ "," KEEP "," WIN),
	 {"[{\"a\":[1,\"one\"],\"b\":\"z\",\"c\":null}]", "true", "true"},
	 "l.read(null) l.write!({\"vals\":{\"a\":5,\"c\":9,\"d\":1}}) l.action_set_won!(null) => "
	 "{\"values\":{\"row\":{\"a\":[1,\"one\"],\"b\":\"z\",\"c\":null}},\"written\":[\"a\",\"c\","
	 "\"d\",\"stage_id\"],\"warnings\":[]}"},
	{"nothing is left to write",
	 STEPS(READ ",{\"keep\":{\"as\":\"row\",\"base\":{\"a\":1}},\"call\":{\"model\":\"l\","
				"\"method\":\"write\",\"ids\":[1],\"args\":{\"vals\":{\"a\":5}}}}," WIN),
	 {"[{\"a\":2}]"},
	 "l.read(null) => {\"values\":{\"row\":{\"a\":2}},\"written\":[],\"warnings\":[]}"},
	{"soft",
	 STEPS("{\"soft\":true,\"as\":\"x\",\"call\":{\"model\":\"t\",\"method\":\"search\"}},{"
		   "\"soft\":[\"missing_field\"],\"as\":\"y\",\"call\":{\"model\":\"t\",\"method\":"
		   "\"search\"}},{\"if\":\"x\",\"call\":{\"model\":\"t\",\"method\":\"unlink\"}}"),
	 {"!a", "!b"},
	 "t.search(null) t.search(null) => "
	 "{\"values\":{\"x\":null,\"y\":null},\"written\":[],\"warnings\":[{\"as\":\"x\",\"code\":"
	 "\"missing_field\",\"text\":\"a\"},{\"as\":\"y\",\"code\":\"missing_field\",\"text\":\"b\"}]"
	 "}"},
	{"soft for something else",
	 STEPS("{\"soft\":[\"busy\"],\"call\":{\"model\":\"t\",\"method\":\"search\"}}"),
	 {"!a"},
	 "t.search(null) failed missing_field: Odoo has no such field: a"},
	{"ids that came to nothing",
	 STEPS("{\"call\":{\"model\":\"l\",\"method\":\"write\",\"ids\":[{\"$\":\"x\"}],\"args\":{"
		   "\"vals\":{\"a\":1}}}}"),
	 {NULL},
	 "=> {\"values\":{},\"written\":[],\"warnings\":[]}"},
	{"load that stored nothing",
	 STEPS("{\"as\":\"l\",\"take\":\"id\",\"call\":{\"model\":\"l\",\"method\":\"load\",\"args\":{}"
		   "}}"),
	 {"{\"ids\":false,\"messages\":[{\"message\":\"bad row\"}]}"},
	 "l.load!({}) failed validation: Odoo refuses the values: bad row"},
	{"load",
	 STEPS("{\"as\":\"l\",\"take\":\"id\",\"call\":{\"model\":\"l\",\"method\":\"load\",\"args\":{}"
		   "}}"),
	 {"{\"ids\":[23],\"messages\":[]}"},
	 "l.load!({}) => {\"values\":{\"l\":23},\"written\":[],\"warnings\":[]}"},
	{"a bound value, and a part of it",
	 STEPS("{\"as\":\"v\",\"value\":{\"b\":{\"c\":5}}},{\"if\":\"v.b.c\",\"unless\":\"v.b.d\","
		   "\"call\":{\"model\":\"t\",\"method\":\"search\",\"args\":{\"x\":{\"$\":\"v.b.c\"}}}}"),
	 {"[]"},
	 "t.search({\"x\":5}) => "
	 "{\"values\":{\"v\":{\"b\":{\"c\":5}}},\"written\":[],\"warnings\":[]}"},
	{"a command without its id is none",
	 STEPS("{\"call\":{\"model\":\"l\",\"method\":\"write\",\"ids\":[1],\"args\":{\"vals\":{\"t\":["
		   "[4,{\"$\":\"x\"}],[6,0,[{\"$\":\"x\"}]]],\"s\":1}}}}"),
	 {"true"},
	 "l.write!({\"vals\":{\"t\":[[6,0,[]]],\"s\":1}}) => "
	 "{\"values\":{},\"written\":[\"t\",\"s\"],\"warnings\":[]}"},
	{"no steps", "{}", {NULL}, "a script needs steps, at most 100"},
	{"a step that is none", STEPS("5"), {NULL}, "step 1 of the script is no object"},
};

static void
scripts(void)
{
	for (size_t i = 0; i < sizeof(script_cases) / sizeof(script_cases[0]); i++)
		is_str(walk(script_cases[i].script, script_cases[i].replies), script_cases[i].wanted,
			   "script: %s", script_cases[i].name);
	ok(odoo_transport_find("rest") == ODOO_REST && odoo_transport_find("soap") == -1,
	   "transports by name");
	ok(odoo_fault_passes(ODOO_BUSY) && !odoo_fault_passes(ODOO_ACCESS_DENIED),
	   "what passes by itself");
}

int
main(void)
{
	plan(0);
	requests();
	checked("bodies end where they say");
	answers();
	xml_bounds();
	scripts();
	return done();
}
