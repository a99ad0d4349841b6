/* Signatures against the published vectors, form encoding, URL fragments, relative URLs. */
#include "sandbox/webhook.h"
#include "tap.h"

#define K1 "12345"
#define K2 "0123456789abcdef0123456789abcdef"

static void
signature(const char *key, const char *url, const char *const *pairs, const char *expected,
		  const char *name)
{
	struct webhook_form form = {0};
	char got[WEBHOOK_SIGNATURE_SIZE];

	for (size_t i = 0; pairs && pairs[i]; i += 2)
		webhook_add(&form, pairs[i], pairs[i + 1]);
	webhook_sign(key, url, &form, got);
	is_str(got, expected, "%s", name);
	webhook_form_free(&form);
}

#define PAIRS(...)                                                                                 \
	(const char *const[])                                                                          \
	{                                                                                              \
		__VA_ARGS__, NULL                                                                          \
	}

static void
vectors(void)
{
	signature(K1, "https://example.com/myapp.php?foo=1&bar=2",
			  PAIRS("CallSid", "CA1234567890ABCDE", "Caller", "+14158675310", "Digits", "1234",
					"From", "+14158675310", "To", "+18005551212"),
			  "L/OH5YylLD5NRKLltdqwSvS0BnU=", "the example of the documentation");
	signature(K1, "https://mycompany.com/myapp.php?foo=1&bar=2",
			  PAIRS("Sid", "CA123", "SidAccount", "AC123", "Digits", "5678", "Digits", "1234",
					"Digits", "1234"),
			  "IK+Dwps556ElfBT0I3Rgjkr1wJU=", "repeated names");
	signature(K2, "https://pbx.example.com/twilio/voice",
			  PAIRS("CallSid", "CA00000000000000000000000000000001", "AccountSid",
					"AC00000000000000000000000000000001", "From", "+15551230001", "To",
					"+15551230002", "CallStatus", "ringing", "Direction", "inbound", "ApiVersion",
					"2010-04-01", "CallerName", ""),
			  "ThJynJ5uk5PzVuIwCskONRSHskA=", "an empty value");
	signature(K2, "https://pbx.example.com/twilio/sms?tenant=42",
			  PAIRS("MessageSid", "SM00000000000000000000000000000001", "From",
					"whatsapp:+15551230001", "To", "whatsapp:+15551230002", "Body",
					" Ol\xc3\xa1 & 1+1=2 \xf0\x9f\x98\x80\n", "NumMedia", "0", "WaId",
					"15551230001"),
			  "JGEEha7jjIPk1aUwskPPdiCvs8s=", "UTF-8 and blanks at the edges");
	signature(K2, "https://pbx.example.com/x",
			  PAIRS("b", "2", "B", "1", "a", "3", "_", "4", "A1", "5"),
			  "sQAhGCp0iyCWRCz1CSg5TiLKAEI=", "order by bytes");
	signature(K2,
			  "https://pbx.example.com/twilio/voice?CallSid=CA00000000000000000000000000000001&"
			  "From=%2B15551230001",
			  NULL, "zFtbowYeN/5F+lesLnWpG7dUOQY=", "GET");
	signature(K2,
			  "https://pbx.example.com/hook?bodySHA256="
			  "225e08b0eda60eabc1e704044175ecf49f35952a6f4299ef5c7ee6dadd662984",
			  NULL, "lGel84kCO266eUl/pHU3VUQ7C4U=", "JSON");
	signature(K2, "https://pbx.example.com:8443/twilio/voice", PAIRS("CallSid", "CA1"),
			  "K94RPhBdmmWOLec0GkR/VceeaBA=", "port kept");
	signature(K2, "https://pbx.example.com/twilio/voice", PAIRS("CallSid", "CA1"),
			  "01eAz82Ud3VR2/lCKNYGknBRNjw=", "port dropped");
	signature(K2, "https://pbx.example.com:443/twilio/voice", PAIRS("CallSid", "CA1"),
			  "tZRxxpb/UcxbNuI9qTKCxIWaAso=", "standard port");
	signature(K2, "http://pbx.example.com:8080/twilio/voice", PAIRS("CallSid", "CA1"),
			  "gp2VOiFMlOjkK+ARpIUuHzSNOWM=", "plain http with port");
	signature(K2, "wss://pbx.example.com/media", NULL, "+RWWSVQ32aR4+dK3c8kCaFDIwoA=", "WebSocket");
	signature(K2, "wss://pbx.example.com/media/", NULL,
			  "Q2P2MPVr12k31z3Y869DqtcKa3s=", "WebSocket with slash");
	signature(K2, "https://pbx.example.com/media", NULL,
			  "P+PB2R3x5P7i9T2RPFGeH9h3e4o=", "the same under https is another signature");
}

static void
urls(void)
{
	struct webhook_overrides o;
	char url[] = "http://h/p?x=1#rc=5&rp=ct,5xx&ct=300";
	char wrong[] = "http://h/p#rc=6";
	char out[64];

	ok(webhook_split_fragment(url, &o), "a fragment with overrides is read");
	is_str(url, "http://h/p?x=1", "and cut off");
	ok(o.retries == 5 && o.on_connect && o.on_5xx && !o.on_read && o.connect_ms == 300,
	   "its values are taken");
	ok(!webhook_split_fragment(wrong, &o), "a value out of range is refused");
	ok(webhook_resolve("https://h:1/a/b?q#f", "c", out, sizeof(out)), "relative URL");
	is_str(out, "https://h:1/a/c", "beside the document");
	webhook_resolve("https://h:1/a/b", "/c", out, sizeof(out));
	is_str(out, "https://h:1/c", "from the root");
	webhook_resolve("https://h", "c", out, sizeof(out));
	is_str(out, "https://h/c", "of a host without path");
	ok(!webhook_resolve("https://h/", "c", out, 8), "too long");
}

static void
decoding(void)
{
	static const char *const bad[] = {"a=%", "a=%4", "a=%zz", "a=%00", "%=1"};
	struct webhook_form form;
	char many[4 * WEBHOOK_MAX_PARAMETERS + 8] = "";
	const char *text = "To=%2B1555&Body=a+b%20%C3%B1&Empty=&Event=x&Event=y&Bare";

	ok(webhook_decode(text, strlen(text), &form), "a form is decoded");
	is_int((int64_t) form.count, 6, "all its fields");
	is_str(webhook_value(&form, "To"), "+1555", "a percent sign");
	is_str(webhook_value(&form, "Body"), "a b \xC3\xB1", "a plus is a blank");
	is_str(webhook_value(&form, "Event"), "x", "of a repeated name the first");
	is_str(webhook_value(&form, "Bare"), "", "a name alone");
	is_str(webhook_value(&form, "None"), "", "what is not there");
	webhook_form_free(&form);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_that(!webhook_decode(bad[i], strlen(bad[i]), &form) && form.count == 0);
	for (int i = 0; i <= WEBHOOK_MAX_PARAMETERS; i++)
		strncat(many, "a=b&", sizeof(many) - strlen(many) - 1);
	check_that(!webhook_decode(many, strlen(many), &form) && form.count == 0);
	checked("what is malformed, or too much, is refused");
	ok(webhook_decode("", 0, &form) && form.count == 0, "nothing is a form too");
}

int
main(void)
{
	struct webhook_form form = {0};
	char *body;

	plan(33);
	vectors();
	urls();
	webhook_add(&form, "From", "+1 555");
	webhook_add(&form, "B", "\xc3\xa1&=");
	body = webhook_encode(&form);
	is_str(body, "From=%2B1+555&B=%C3%A1%26%3D", "form encoding");
	free(body);
	webhook_form_free(&form);
	decoding();
	return done();
}
