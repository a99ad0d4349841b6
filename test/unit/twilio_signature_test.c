/* twilio_signature: known signatures, each spelling of the URL, and that any change is noticed. */
#include "core/twilio_signature.h"

#include "tap.h"

#define K1 "12345"
#define K2 "0123456789abcdef0123456789abcdef"
#define HOST "pbx.example.com"

/* V1 is the example of Twilio's documentation; the others were computed with another
 * implementation of HMAC and agree with Twilio's libraries for Node.js and Python. */
static const struct vector
{
	const char *name;
	const char *token;
	const char *url;
	const char *body; /* raw form, or NULL */
	const char *signature;
} vectors[] = {
	{"V1", K1, "https://example.com/myapp.php?foo=1&bar=2",
	 "CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310"
	 "&To=%2B18005551212",
	 "L/OH5YylLD5NRKLltdqwSvS0BnU="},
	{"V2", K1, "https://mycompany.com/myapp.php?foo=1&bar=2",
	 "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234",
	 "IK+Dwps556ElfBT0I3Rgjkr1wJU="},
	{"V3", K2, "https://" HOST "/twilio/voice",
	 "CallSid=CA00000000000000000000000000000001&AccountSid=AC00000000000000000000000000000001"
	 "&From=%2B15551230001&To=%2B15551230002&CallStatus=ringing&Direction=inbound"
	 "&ApiVersion=2010-04-01&CallerName=",
	 "ThJynJ5uk5PzVuIwCskONRSHskA="},
	{"V4", K2, "https://" HOST "/twilio/sms?tenant=42",
	 "MessageSid=SM00000000000000000000000000000001&From=whatsapp%3A%2B15551230001"
	 "&To=whatsapp%3A%2B15551230002&Body=+Ol%C3%A1+%26+1%2B1%3D2+%F0%9F%98%80%0A&NumMedia=0"
	 "&WaId=15551230001",
	 "JGEEha7jjIPk1aUwskPPdiCvs8s="},
	{"V5", K2, "https://" HOST "/x", "b=2&B=1&a=3&_=4&A1=5", "sQAhGCp0iyCWRCz1CSg5TiLKAEI="},
	{"V6", K2,
	 "https://" HOST "/twilio/voice?CallSid=CA00000000000000000000000000000001"
	 "&From=%2B15551230001",
	 NULL, "zFtbowYeN/5F+lesLnWpG7dUOQY="},
	{"V7", K2,
	 "https://" HOST
	 "/hook?bodySHA256=225e08b0eda60eabc1e704044175ecf49f35952a6f4299ef5c7ee6dadd662984",
	 NULL, "lGel84kCO266eUl/pHU3VUQ7C4U="},
	{"V8a", K2, "https://" HOST ":8443/twilio/voice", "CallSid=CA1",
	 "K94RPhBdmmWOLec0GkR/VceeaBA="},
	{"V8b", K2, "https://" HOST "/twilio/voice", "CallSid=CA1", "01eAz82Ud3VR2/lCKNYGknBRNjw="},
	{"V8c", K2, "https://" HOST ":443/twilio/voice", "CallSid=CA1", "tZRxxpb/UcxbNuI9qTKCxIWaAso="},
	{"V9", K2, "http://" HOST ":8080/twilio/voice", "CallSid=CA1", "gp2VOiFMlOjkK+ARpIUuHzSNOWM="},
	{"V10a", K2, "wss://" HOST "/media", NULL, "+RWWSVQ32aR4+dK3c8kCaFDIwoA="},
	{"V10b", K2, "wss://" HOST "/media/", NULL, "Q2P2MPVr12k31z3Y869DqtcKa3s="},
	{"V10c", K2, "https://" HOST "/media", NULL, "P+PB2R3x5P7i9T2RPFGeH9h3e4o="},
};

/* The decoded form of a raw body; *memory is to be freed. NULL for no body. */
static struct form *
form_of(const char *body, struct form *form, char **memory)
{
	*memory = NULL;
	if (body == NULL)
		return NULL;
	*memory = tap_exact(body, strlen(body) + 1);
	return form_decode(*memory, strlen(body), form, NULL) ? form : NULL;
}

static bool
verify(const char *token, const char *url, const char *body, const char *signature)
{
	struct form form;
	char *memory;
	struct form *decoded = form_of(body, &form, &memory);
	bool good = twilio_verify(&token, 1, url, decoded, signature);

	free(memory);
	return good;
}

static void
known_signatures(void)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		const struct vector *v = &vectors[i];
		char out[TWILIO_SIGNATURE_SIZE] = "";
		struct form form;
		char *memory;
		struct form *decoded = form_of(v->body, &form, &memory);

		ok(twilio_sign(v->token, v->url, decoded, out), "%s is signed", v->name);
		is_str(out, v->signature, "%s", v->name);
		free(memory);
		ok(verify(v->token, v->url, v->body, v->signature), "%s is verified", v->name);
		ok(!verify("other", v->url, v->body, v->signature), "%s: wrong token", v->name);
		ok(!verify(v->token, v->url, "Extra=1", v->signature) ||
			   (v->body != NULL && strcmp(v->body, "Extra=1") == 0),
		   "%s: wrong form", v->name);
	}
}

static const char *
signature_of(const char *name)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		if (strcmp(vectors[i].name, name) == 0)
			return vectors[i].signature;
	return "";
}

/* Which spelling of the URL Twilio signed must not matter; which URL it was must. */
static void
spellings(void)
{
	static const struct
	{
		const char *url;
		const char *body;
		const char *signature;
		bool good;
	} cases[] = {
		{"https://" HOST ":8443/twilio/voice", "CallSid=CA1", "V8a", true},
		{"https://" HOST ":8443/twilio/voice", "CallSid=CA1", "V8b", true},
		{"https://" HOST ":8443/twilio/voice", "CallSid=CA1", "V8c", true},
		{"https://" HOST "/twilio/voice", "CallSid=CA1", "V8b", true},
		{"https://" HOST "/twilio/voice", "CallSid=CA1", "V8c", true},
		{"https://" HOST "/twilio/voice", "CallSid=CA1", "V8a", false},
		{"https://" HOST ":443/twilio/voice", "CallSid=CA1", "V8b", true},
		{"http://" HOST ":8080/twilio/voice", "CallSid=CA1", "V9", true},
		{"http://" HOST "/twilio/voice", "CallSid=CA1", "V9", false},
		{"https://user:pass@" HOST ":8443/twilio/voice", "CallSid=CA1", "V8a", true},
		{"https://" HOST "/twilio/voice#rc=2", "CallSid=CA1", "V8b", true},
		{"wss://" HOST "/media", NULL, "V10a", true},
		{"wss://" HOST "/media", NULL, "V10b", true},
		{"wss://" HOST ":443/media", NULL, "V10a", true},
		{"wss://" HOST ":8080/media", NULL, "V10b", true},
		{"wss://" HOST "/media", NULL, "V10c", false},
		{"wss://" HOST "/media/", NULL, "V10a", false},
		{"wss://" HOST "/media?", NULL, "V10b", false},
		{"https://" HOST "/media", NULL, "V10a", false},
		{"https://" HOST "/media", NULL, "V10c", true},
		{"https://" HOST "/x", "A1=5&_=4&a=3&b=2&B=1", "V5", true},
		{"https://" HOST "/x", "A1=5&_=4&a=3&b=2&B=1&B=1", "V5", true},
		{"https://" HOST "/x", "A1=5&_=4&a=3&b=2&B=1&B=", "V5", false},
		{"https://" HOST "/X", "A1=5&_=4&a=3&b=2&B=1", "V5", false},
		{"no url", NULL, "V10a", false},
		{"://", NULL, "V10a", false},
		{"https://", NULL, "V10a", false},
		{"", NULL, "V10a", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(verify(K2, cases[i].url, cases[i].body, signature_of(cases[i].signature)),
			   cases[i].good, "%s with %s", cases[i].url, cases[i].signature);

	/* Only streams may have lost a slash. */
	char with_slash[TWILIO_SIGNATURE_SIZE];

	twilio_sign(K2, "https://" HOST "/media/", NULL, with_slash);
	ok(!verify(K2, "https://" HOST "/media", NULL, with_slash), "no slash is added to https");

	/* An IPv6 address has colons of its own. */
	char out[TWILIO_SIGNATURE_SIZE];

	twilio_sign(K2, "https://[::1]/a", NULL, out);
	ok(verify(K2, "https://[::1]:8443/a", NULL, out), "IPv6 without the port");
	ok(verify(K2, "https://[::1]/a", NULL, out), "IPv6 as it is");
	twilio_sign(K2, "https://[::1]:443/a", NULL, out);
	ok(verify(K2, "https://[::1]/a", NULL, out), "IPv6 with the standard port");
}

static void
tokens_and_headers(void)
{
	const char *both[] = {"old", K2};
	const char *empty[] = {"", NULL};
	const char *url = "wss://" HOST "/media";
	const char *good = signature_of("V10a");
	char out[TWILIO_SIGNATURE_SIZE] = "unset";

	ok(twilio_verify(both, 2, url, NULL, good), "the second token of a rotation");
	ok(!twilio_verify(both, 1, url, NULL, good), "only the first");
	ok(!twilio_verify(both, 0, url, NULL, good), "no token");
	ok(!twilio_verify(both, 2, url, NULL, NULL), "no header");
	ok(!twilio_verify(both, 2, url, NULL, ""), "empty header");
	ok(!twilio_verify(both, 2, url, NULL, "+RWWSVQ32aR4+dK3c8kCaFDIwoA"), "cut header");
	ok(!twilio_verify(both, 2, url, NULL, "+RWWSVQ32aR4+dK3c8kCaFDIwoA=="), "longer header");
	ok(!twilio_sign("", url, NULL, out), "an empty token signs nothing");
	ok(!twilio_verify(empty, 2, url, NULL, "y7ytI+pVTG9ErUAP0vFeYI4WW0A="),
	   "an empty token verifies nothing");
}

static void
json_bodies(void)
{
	static const char body[] = "{\"CallSid\":\"CA00000000000000000000000000000001\",\"note\":"
							   "\"caf\xC3\xA9\"}";
	static const char hash[] = "225e08b0eda60eabc1e704044175ecf49f35952a6f4299ef5c7ee6dadd662984";
	const char *token = K2;
	const char *signature = signature_of("V7");
	char url[256];
	char out[TWILIO_SIGNATURE_SIZE];

	snprintf(url, sizeof(url), "https://" HOST "/hook?bodySHA256=%s", hash);
	is_int((int64_t) strlen(body), 63, "the body of V7");
	ok(twilio_verify_json(&token, 1, url, body, strlen(body), signature), "V7");
	ok(!twilio_verify_json(&token, 1, url, body, strlen(body) - 1, signature), "another body");
	ok(!twilio_verify_json(&token, 1, "https://" HOST "/hook", body, strlen(body), signature),
	   "no hash");

	/* Signed, but without or with the wrong hash. */
	twilio_sign(K2, "https://" HOST "/hook", NULL, out);
	ok(!twilio_verify_json(&token, 1, "https://" HOST "/hook", body, strlen(body), out),
	   "signed without a hash");
	url[strlen(url) - 1] ^= 1;
	twilio_sign(K2, url, NULL, out);
	ok(!twilio_verify_json(&token, 1, url, body, strlen(body), out), "signed with a wrong hash");
	snprintf(url, sizeof(url), "https://" HOST "/hook?a=bodySHA256&bodySHA256=%s&b=2", hash);
	twilio_sign(K2, url, NULL, out);
	ok(twilio_verify_json(&token, 1, url, body, strlen(body), out), "between other parameters");
	snprintf(url, sizeof(url), "https://" HOST "/hook?xbodySHA256=%s", hash);
	twilio_sign(K2, url, NULL, out);
	ok(!twilio_verify_json(&token, 1, url, body, strlen(body), out), "another parameter's name");
	snprintf(url, sizeof(url), "https://" HOST "/hook?bodySHA256=%.63s", hash);
	twilio_sign(K2, url, NULL, out);
	ok(!twilio_verify_json(&token, 1, url, body, strlen(body), out), "a short hash");
}

/* A changed bit anywhere is noticed; the order of the fields is not. */
static void
properties(void)
{
	for (int round = 0; round < 2000; round++)
	{
		char body[128];
		char shuffled[128];
		size_t count = 1 + tap_below(6);
		size_t len = 0;
		size_t turned = 0;
		char signature[TWILIO_SIGNATURE_SIZE];
		struct form form;
		char *memory;
		const char *fields[6];
		static const char *const choices[] = {"a=1", "a=2", "b=", "B=x", "ab=1", "_=%20", "a=1"};

		for (size_t i = 0; i < count; i++)
			fields[i] = choices[tap_below(7)];
		for (size_t i = 0; i < count; i++)
		{
			len += (size_t) snprintf(body + len, sizeof(body) - len, "%s&", fields[i]);
			turned += (size_t) snprintf(shuffled + turned, sizeof(shuffled) - turned, "%s&",
										fields[count - 1 - i]);
		}
		twilio_sign(K1, "https://h/p", form_of(body, &form, &memory), signature);
		free(memory);
		check_that(verify(K1, "https://h/p", shuffled, signature));
		signature[tap_below(28)] ^= (char) (1 << tap_below(7));
		check_that(!verify(K1, "https://h/p", body, signature));
	}
	checked("the order of fields does not matter, each bit of the signature does");
}

int
main(void)
{
	plan(0);
	known_signatures();
	spellings();
	tokens_and_headers();
	json_bodies();
	properties();
	return done();
}
