/* The TwiML reader: what it takes, and that it takes nothing else. */
#include "sandbox/twiml_reader.h"
#include "tap.h"

static void
refused(const char *text, const char *why)
{
	char error[200] = "";
	struct twiml_node *root = twiml_read(text, strlen(text), error, sizeof(error));

	ok(root == NULL && error[0], "%s: %s", why, error);
	twiml_free(root);
}

static void
accepted(void)
{
	const char *text =
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><!-- c -->\n"
		" <Connect><Stream url='wss://h/m'><Parameter name=\"token\" "
		"value=\"a&amp;b&#233;&#x1F600;\"/></Stream></Connect>\n"
		"<Say> Hi &lt;you&gt; <![CDATA[& me]]> </Say>"
		"<Redirect method=\"POST\">http://h/x#rc=5&amp;rp=ct</Redirect></Response>\n";
	char error[200] = "";
	struct twiml_node *root = twiml_read(text, strlen(text), error, sizeof(error));
	const struct twiml_node *stream;

	ok(root != NULL, "a usual document is read %s", error);
	if (!root)
		return;
	stream = twiml_child(twiml_child(root, "Connect"), "Stream");
	is_str(twiml_attr(stream, "url", ""), "wss://h/m", "attribute in single quotes");
	is_str(twiml_attr(twiml_child(stream, "Parameter"), "value", ""), "a&b\xc3\xa9\xf0\x9f\x98\x80",
		   "entities and character references");
	is_str(twiml_child(root, "Say")->text, "Hi <you> & me", "text is trimmed and joined");
	is_str(twiml_child(root, "Redirect")->text, "http://h/x#rc=5&rp=ct", "URL in text");
	twiml_free(root);
}

static void
every_prefix_is_refused(void)
{
	const char *text = "<Response><Say voice=\"x\">a &amp; b</Say><Hangup/></Response>";
	char error[200];
	bool all = true;

	for (size_t len = 0; len < strlen(text); len++)
	{
		struct twiml_node *root = twiml_read(text, len, error, sizeof(error));

		all &= root == NULL;
		twiml_free(root);
	}
	ok(all, "no beginning of a document is a document");
}

int
main(void)
{
	plan(20);
	accepted();
	every_prefix_is_refused();
	refused("", "empty");
	refused(" \n<response/>", "lower case");
	refused("<Response><Say>a</Response>", "unclosed");
	refused("<Response><Say>a & b</Say></Response>", "bare ampersand");
	refused("<Response><Say>&nbsp;</Say></Response>", "unknown entity");
	refused("<Response><Say voice=a>x</Say></Response>", "unquoted");
	refused("<Response><Say voice=\"a\" voice=\"b\">x</Say></Response>", "attribute twice");
	refused("<Response/>x", "text behind");
	refused("<Response><Shout>x</Shout></Response>", "unknown verb");
	refused("<Response><Hangup when=\"now\"/></Response>", "unknown attribute");
	refused("<Response>x<Hangup/></Response>", "text in Response");
	refused("<Response><Stream url=\"wss://h/\"/></Response>", "Stream outside Connect");
	refused("<Response><Connect><Stream url=\"wss://h/m?t=1\"/></Connect></Response>",
			"stream url with a query");
	refused("<!DOCTYPE x [<!ENTITY a \"b\">]><Response/>", "document type");
	return done();
}
