/*
 * lws_random.c: random bytes for libwebsockets without a system call for every frame.
 *
 * A client masks each frame with four random bytes (RFC 6455, section 5.3), and libwebsockets reads
 * them from /dev/urandom one frame at a time: one of five system calls that a relayed frame costs.
 * Its function for it is public, and a program's own definition of it comes before the library's
 * (ELF symbol order), so this one serves both from a pool. Masks need not be secret from the peer,
 * but unpredictable to whoever chose the payload: the pool is the kernel's bytes, each used once.
 */
#include <libwebsockets.h>
#include <string.h>
#include <sys/random.h>

/* As libwebsockets describes it: fills buf, returns how many bytes it got. */
size_t
lws_get_random(struct lws_context *context, void *buf, size_t len)
{
	static unsigned char pool[4096];
	static size_t used = sizeof(pool);

	(void) context;
	if (len > sizeof(pool) - used)
	{
		if (len > sizeof(pool) / 2)
		{
			ssize_t n = getrandom(buf, len, 0);

			return n < 0 ? 0 : (size_t) n;
		}
		if (getrandom(pool, sizeof(pool), 0) != (ssize_t) sizeof(pool))
			return 0;
		used = 0;
	}
	memcpy(buf, pool + used, len);
	used += len;
	return len;
}
