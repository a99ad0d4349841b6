/*
 * child.c: fork, exec, two pipes, and what comes after.
 *
 * The child is a program of its own, so that its crash is nobody else's. Between fork and exec it is
 * a copy of a server process and must do little: no palloc, no ereport, nothing that takes a lock.
 * It gets default signal handlers, an empty signal mask, the kernel's promise of SIGKILL when the
 * launcher dies (PR_SET_PDEATHSIG), and no descriptor but its three.
 *
 * Its stdin is a pipe that carries one line and then stays open: end of file tells the program that
 * its parent is gone, should the kernel's promise fail. Its stderr is a non-blocking pipe: were the
 * launcher ever slow, a log line would be lost rather than the calls' audio held up.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port.h"

#include "worker/child.h"

#define PROGRAM "voiceagent"
#define STOP_PATIENCE_MS 1000
#define FIRST_DELAY_MS 200
#define LONGEST_DELAY_MS 30000
#define SETTLED_MS 60000 /* who lived this long is started at once the next time */
#define EXIT_NO_PROGRAM 127

void
child_init(struct child *child, const struct program *program, int number)
{
	memset(child, 0, sizeof(*child));
	child->program = program;
	child->state = CHILD_WAITING;
	child->input = -1;
	child->output = -1;
	snprintf(child->name, sizeof(child->name), "%s-%d", program->prefix, number);
}

/* The first restart comes at once, then after 0.2 s, doubling up to 30 s. */
static int64
restart_delay(int failures)
{
	int64 delay = FIRST_DELAY_MS;

	if (failures <= 1)
		return 0;
	while (failures-- > 2 && delay < LONGEST_DELAY_MS)
		delay *= 2;
	return Min(delay, LONGEST_DELAY_MS);
}

static void
close_quietly(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
put_off(struct child *child, int64 now)
{
	child->failures++;
	child->start_at = now + restart_delay(child->failures);
	child->state = CHILD_WAITING;
}

/* ---- between fork and exec -------------------------------------------------------------------- */

static void
close_from(int first)
{
	long limit;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return;
#endif
	limit = sysconf(_SC_OPEN_MAX);
	for (int fd = first; fd < (limit < 0 ? 1024 : limit); fd++)
		close(fd);
}

static void
default_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		(void) signal(number, SIG_DFL); /* refused for SIGKILL and SIGSTOP, as it should */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Becomes the program. input and output are above 2. */
static void
pg_attribute_noreturn()
	become_program(const char *path, const char *command, pid_t launcher, int input, int output)
{
	char *const arguments[] = {PROGRAM, (char *) command, "--stdin-config", NULL};
	static const char complaint[] = "could not execute the program " PROGRAM "\n";
	int null = open("/dev/null", O_WRONLY);

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != launcher)
		_exit(1); /* the launcher died before the promise was made */
	default_signals();
	if (dup2(input, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
		dup2(output, STDERR_FILENO) < 0)
		_exit(1);
	close_from(STDERR_FILENO + 1);
	execv(path, arguments);
	if (write(STDERR_FILENO, complaint, sizeof(complaint) - 1) < 0)
		_exit(1);
	_exit(EXIT_NO_PROGRAM);
}

/* ---- the launcher's side ---------------------------------------------------------------------- */

/* A pipe whose ends are close-on-exec and above the standard descriptors. */
static bool
open_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	for (int i = 0; i < 2; i++)
	{
		int moved;

		if (ends[i] > STDERR_FILENO)
			continue;
		moved = fcntl(ends[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(ends[i]);
		ends[i] = moved;
	}
	if (ends[0] >= 0 && ends[1] >= 0)
		return true;
	close_quietly(&ends[0]);
	close_quietly(&ends[1]);
	return false;
}

/* Forks with all signals blocked, so that the copy never runs a handler of ours. */
static pid_t
fork_program(const char *path, const char *command, int input, int output)
{
	sigset_t all;
	sigset_t before;
	pid_t launcher = MyProcPid;
	pid_t pid;

	fflush(NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		become_program(path, command, launcher, input, output);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static void
program_path(char *path)
{
	strlcpy(path, my_exec_path, MAXPGPATH);
	get_parent_directory(path);
	join_path_components(path, path, PROGRAM);
}

void
child_start(struct child *child, const char *config_line, int64 now)
{
	char path[MAXPGPATH];
	int input[2] = {-1, -1};
	int output[2] = {-1, -1};
	size_t length = strlen(config_line);
	pid_t pid = -1;

	Assert(child->state == CHILD_WAITING);
	program_path(path);
	if (open_pipe(input) && open_pipe(output) && fcntl(input[1], F_SETFL, O_NONBLOCK) == 0 &&
		fcntl(output[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(output[1], F_SETFL, O_NONBLOCK) == 0)
		pid = fork_program(path, child->program->command, input[0], output[1]);
	if (pid < 0)
		ereport(WARNING, (errmsg("voiceagent could not start %s: %m", child->name),
						  errhint("The operating system is short of processes, memory or file "
								  "descriptors.")));
	close_quietly(&input[0]);
	close_quietly(&output[1]);
	if (pid < 0)
	{
		close_quietly(&input[1]);
		close_quietly(&output[0]);
		child->failures++; /* with a first delay, for trying at once would not help */
		put_off(child, now);
		return;
	}

	child->state = CHILD_RUNNING;
	child->pid = pid;
	child->started_at = now;
	child->input = input[1];
	child->output = output[0];
	relay_init(&child->relay, child->name);
	/* It fits into the pipe. Should it fail all the same, the child ends at the end of the file. */
	if (write(child->input, config_line, length) != (ssize_t) length)
		close_quietly(&child->input);
	ereport(LOG, (errmsg("voiceagent started %s (PID %d)", child->name, (int) pid)));
}

void
child_stop(struct child *child, int64 now)
{
	if (child->state != CHILD_RUNNING)
		return;
	kill(child->pid, SIGTERM);
	child->kill_at = now + STOP_PATIENCE_MS;
	child->state = CHILD_STOPPING;
}

static const char *
exit_hint(const struct child *child, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_PROGRAM)
		return "Install the program voiceagent beside the program postgres (make install).";
	if (WIFSIGNALED(status))
		return child->program->crash_hint;
	return "Look for the cause in the lines above.";
}

static void
report_exit(const struct child *child, int status)
{
	char *how = wait_result_to_str(status);

	if (child->state == CHILD_STOPPING)
		ereport(LOG, (errmsg("voiceagent stopped %s (PID %d)", child->name, (int) child->pid),
					  errdetail_internal("%s", how)));
	else
		ereport(WARNING,
				(errmsg("voiceagent %s (PID %d) ended: %s", child->name, (int) child->pid, how),
				 errdetail("It is started again in %.1f s.",
						   restart_delay(child->failures + 1) / 1000.0),
				 errhint("%s", exit_hint(child, status))));
	pfree(how);
}

static void
child_ended(struct child *child, int status, int64 now)
{
	child_listen(child, now);
	if (now - child->started_at >= SETTLED_MS)
		child->failures = 0;
	report_exit(child, status);
	close_quietly(&child->input);
	close_quietly(&child->output);
	child->pid = 0;
	if (child->state == CHILD_STOPPING)
	{
		child->failures = 0;
		child->start_at = now;
		child->state = CHILD_WAITING;
	}
	else
		put_off(child, now);
}

void
child_watch(struct child *child, int64 now)
{
	int status;
	pid_t pid;

	if (child->state == CHILD_WAITING)
		return;
	/* By its own id: other children of this process are not ours to reap. */
	pid = waitpid(child->pid, &status, WNOHANG);
	if (pid == child->pid)
		child_ended(child, status, now);
	else if (child->state == CHILD_STOPPING && now >= child->kill_at)
	{
		kill(child->pid, SIGKILL);
		child->kill_at = now + STOP_PATIENCE_MS;
	}
}

void
child_listen(struct child *child, int64 now)
{
	if (child->output >= 0 && !relay_read(&child->relay, child->output, now))
		close_quietly(&child->output);
}

void
child_signal(const struct child *child, int signal)
{
	if (child->state == CHILD_RUNNING)
		kill(child->pid, signal);
}

int64
child_deadline(const struct child *child, bool wanted)
{
	switch (child->state)
	{
		case CHILD_WAITING: return wanted ? child->start_at : CHILD_NEVER;
		case CHILD_STOPPING: return child->kill_at;
		case CHILD_RUNNING: break;
	}
	return CHILD_NEVER;
}
