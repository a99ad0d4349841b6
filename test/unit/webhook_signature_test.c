/*
 * webhook_signature_test.c: the example of the specification's own libraries, and secrets that are none.
 */
#include "core/webhook_signature.h"

#include <string.h>

#include "tap.h"

int
main(void)
{
	static const char body[] = "{\"test\": 2432232314}";
	static const char id[] = "msg_p5jXN8AQM9LWM0D4loKWxJek";
	char out[WEBHOOK_SIGNATURE_SIZE];
	char other[WEBHOOK_SIGNATURE_SIZE];
	char secret[400];
	struct va_error err = {""};

	plan(0);
	ok(webhook_signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id, 1614265330, body,
						 sizeof(body) - 1, out, &err),
	   "the published example is signed: %s", err.text);
	is_str(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "as it is published");
	ok(webhook_signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id, 1614265331, body,
						 sizeof(body) - 1, other, &err) &&
		   strcmp(out, other) != 0,
	   "another second is another signature");
	ok(webhook_signature("sixteen letters.", "a", 1, "", 0, out, &err),
	   "a secret in plain letters");
	is_str(out, "v1,j38sDADxLAkT2tFJ7Pi80S490QQ5DIRvC3mut2A/tIo=", "is the key itself");

	ok(!webhook_signature("fifteen letters", "a", 1, "", 0, out, &err), "too short: %s", err.text);
	ok(!webhook_signature("whsec_", "a", 1, "", 0, out, &err), "nothing behind whsec_");
	ok(!webhook_signature("whsec_AAAA", "a", 1, "", 0, out, &err), "too little behind whsec_");
	ok(!webhook_signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS*", "a", 1, "", 0, out, &err),
	   "what is not base64");
	memset(secret, 'a', sizeof(secret) - 1);
	secret[sizeof(secret) - 1] = '\0';
	ok(!webhook_signature(secret, "a", 1, "", 0, out, &err), "too long");
	memcpy(secret, "whsec_", 6);
	ok(!webhook_signature(secret, "a", 1, "", 0, out, &err), "too long behind whsec_");
	ok(!webhook_signature("sixteen letters.", "a.b", 1, "", 0, out, &err), "an id with a dot: %s",
	   err.text);
	memset(secret, 'i', 200);
	secret[200] = '\0';
	ok(!webhook_signature("sixteen letters.", secret, 1, "", 0, out, &err), "too long an id");
	return done();
}
