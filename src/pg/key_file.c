/*
 * key_file.c: reads, and at first use makes, voiceagent.key in the data directory.
 *
 * 32 random bytes a key, the current one first, mode 0600. More than one while keys are rotated: the
 * new key is in the file before anything is encrypted with it, and the old ones stay until somebody
 * takes them out. The file is never changed in place: a new one is written beside it, flushed, and
 * renamed, so that nobody ever reads half a key, and a crash leaves the one or the other. Who writes
 * holds a lock (flock) on the data directory, which is the current one of every server process.
 *
 * A process keeps the keys it has read and looks each time whether the file is still the same one: a
 * key that was put back after a loss, or a file that was opened to others, must be noticed at once.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "pg/errcodes.h"
#include "pg/key_file.h"

#define KEY_FILE "voiceagent.key"

static __attribute__((noreturn)) void
refuse(const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_VA_KEY_FILE), errmsg("key file \"%s\" %s", KEY_FILE, problem),
					errhint("%s", hint)));
	pg_unreachable();
}

static void
compute_id(struct va_key *key)
{
	static const char label[] = "voiceagent key id";
	unsigned char material[sizeof label + KEY_SIZE];
	unsigned char digest[SHA256_DIGEST_LENGTH];

	memcpy(material, label, sizeof label);
	memcpy(material + sizeof label, key->bytes, KEY_SIZE);
	SHA256(material, sizeof material, digest);
	memcpy(key->id, digest, KEY_ID_SIZE);
	explicit_bzero(material, sizeof material);
}

/* The keys read last, and the file they were read from; st_ino is 0 when there is none. */
static struct va_keys kept;
static struct stat kept_from;

/*
 * Any change to what is in a file, whose it is or who may read it sets its ctime anew.
 */
static bool
kept_is_current(void)
{
	struct stat now;

	return kept_from.st_ino != 0 && lstat(KEY_FILE, &now) == 0 && now.st_dev == kept_from.st_dev &&
		   now.st_ino == kept_from.st_ino && now.st_size == kept_from.st_size &&
		   now.st_ctim.tv_sec == kept_from.st_ctim.tv_sec &&
		   now.st_ctim.tv_nsec == kept_from.st_ctim.tv_nsec;
}

/*
 * The clock behind a ctime is coarse: a file changed this very moment may change again without a new
 * one, and is not kept.
 */
static void
keep(const struct va_keys *keys, const struct stat *info)
{
	if (info->st_ctim.tv_sec + 2 > time(NULL))
		return;
	kept = *keys;
	kept_from = *info;
}

/* Ends in an error unless the file is the server's alone and holds whole keys. */
static void
check_file(const struct stat *info)
{
	if (!S_ISREG(info->st_mode) || (info->st_mode & (S_IRWXG | S_IRWXO)) != 0)
		refuse("may be read by others", "Give it to the server's user alone: chmod 0600.");
	if (info->st_uid != geteuid())
		refuse("belongs to another user", "Give it to the server's user: chown.");
	if (info->st_size <= 0 || info->st_size % KEY_SIZE != 0 || info->st_size > KEYS_MAX * KEY_SIZE)
		refuse("does not hold keys of 32 bytes",
			   "Restore the file from a backup of the data directory.");
}

/* False when there is no such file. */
static bool
read_file(struct va_keys *keys)
{
	struct stat info;
	int fd = OpenTransientFile(KEY_FILE, O_RDONLY | O_NOFOLLOW | PG_BINARY);

	if (fd < 0)
	{
		if (errno == ENOENT)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_VA_KEY_FILE),
				 errmsg("could not open key file \"%s\": %m", KEY_FILE),
				 errhint("It must be a file that the server's operating system user can read.")));
	}
	if (fstat(fd, &info) != 0)
		refuse("cannot be looked at", "Try again.");
	check_file(&info);
	for (keys->count = 0; keys->count < info.st_size / KEY_SIZE; keys->count++)
	{
		if (read(fd, keys->key[keys->count].bytes, KEY_SIZE) != KEY_SIZE)
			refuse("was cut short while it was read", "Try again.");
		compute_id(&keys->key[keys->count]);
	}
	CloseTransientFile(fd);
	keep(keys, &info);
	return true;
}

/* Takes the lock under which the file is written; the descriptor to close. */
static int
lock_directory(void)
{
	int fd = OpenTransientFile(".", O_RDONLY | O_DIRECTORY);
	bool locked = false;

	while (fd >= 0 && !locked)
	{
		locked = flock(fd, LOCK_EX) == 0;
		if (!locked && errno != EINTR)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	if (!locked)
		refuse("cannot be locked", "The data directory must be readable by the server's user.");
	return fd;
}

static bool
write_keys(int fd, const struct va_keys *keys)
{
	int i;

	for (i = 0; i < keys->count; i++)
	{
		if (write(fd, keys->key[i].bytes, KEY_SIZE) != KEY_SIZE)
			return false;
	}
	return true;
}

/* Under the lock: puts the keys in the place of what the file held, for good. */
static void
write_file(const struct va_keys *keys)
{
	static const char path[] = KEY_FILE ".tmp";
	int fd;

	(void) unlink(path); /* left by a process that died in between */
	fd = OpenTransientFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY, 0600);
	if (fd < 0 || !write_keys(fd, keys) || pg_fsync(fd) != 0 || CloseTransientFile(fd) != 0)
	{
		int saved = errno;

		(void) unlink(path);
		errno = saved;
		ereport(ERROR, (errcode(ERRCODE_VA_KEY_FILE),
						errmsg("could not write key file \"%s\": %m", path)));
	}
	(void) durable_rename(path, KEY_FILE, ERROR);
}

/* Under the lock: a new key, first in a list that has room for it. */
static void
put_first(struct va_keys *keys)
{
	memmove(keys->key + 1, keys->key, sizeof keys->key[0] * keys->count);
	if (!pg_strong_random(keys->key[0].bytes, KEY_SIZE))
	{
		explicit_bzero(keys, sizeof *keys);
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random key")));
	}
	compute_id(&keys->key[0]);
	keys->count++;
	write_file(keys);
}

bool
keys_load(struct va_keys *keys, bool create)
{
	int lock;

	if (kept_is_current())
	{
		*keys = kept;
		return true;
	}
	if (read_file(keys))
		return true;
	if (!create)
		return false;
	lock = lock_directory();
	if (!read_file(keys)) /* nobody was faster */
	{
		keys->count = 0;
		put_first(keys);
	}
	CloseTransientFile(lock);
	return true;
}

void
keys_add(struct va_key *added)
{
	struct va_keys keys;
	int lock = lock_directory();

	if (!read_file(&keys))
		keys.count = 0;
	if (keys.count == KEYS_MAX)
	{
		explicit_bzero(&keys, sizeof keys);
		refuse("holds as many keys as it can",
			   "Take out those that nothing needs, with va_secrets_key_drop.");
	}
	put_first(&keys);
	*added = keys.key[0];
	explicit_bzero(&keys, sizeof keys);
	CloseTransientFile(lock);
}

bool
keys_remove(const unsigned char *id)
{
	struct va_keys keys;
	int lock = lock_directory();
	bool found = false;
	int i;

	if (!read_file(&keys))
		keys.count = 0;
	for (i = 1; i < keys.count; i++)
	{
		if (memcmp(keys.key[i].id, id, KEY_ID_SIZE) == 0)
		{
			memmove(keys.key + i, keys.key + i + 1, sizeof keys.key[0] * (keys.count - i - 1));
			keys.count--;
			write_file(&keys);
			found = true;
			break;
		}
	}
	explicit_bzero(&keys, sizeof keys);
	CloseTransientFile(lock);
	return found;
}
