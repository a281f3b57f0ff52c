#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

enum { TIMEOUT_SECONDS = 60 };

static void run_in_child(ChildBody *body, void *argument, int stderr_pipe) {
  static const int caught_by_cmocka[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};
  for (size_t i = 0; i < COUNT(caught_by_cmocka); i++) signal(caught_by_cmocka[i], SIG_DFL);
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  dup2(stderr_pipe, 2);
  alarm(TIMEOUT_SECONDS); /* a deadlock is a failure, not a hang */
  body(argument);
  _exit(0);
}

static void read_all(int fd, char *text, size_t size) {
  size_t length = 0;
  char overflow[256];
  for (;;) {
    size_t room = size - 1 - length;
    ssize_t n = room > 0 ? read(fd, text + length, room) : read(fd, overflow, sizeof overflow);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (room > 0) length += (size_t)n;
  }
  text[length] = '\0';
}

Child child_run(ChildBody *body, void *argument) {
  Child child = {.exit_code = -1, .signal = 0};
  int ends[2], status = 0;
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    close(ends[0]);
    run_in_child(body, argument, ends[1]);
  }
  close(ends[1]);
  read_all(ends[0], child.text, sizeof child.text);
  close(ends[0]);
  while (waitpid(pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
  if (WIFEXITED(status)) child.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) child.signal = WTERMSIG(status);
  return child;
}

void assert_child_passes(ChildBody *body, void *argument) {
  Child child = child_run(body, argument);
  if (child.exit_code != 0)
    fail_msg("child: exit code %d, signal %d: %s", child.exit_code, child.signal, child.text);
}

void assert_child_aborts(ChildBody *body, void *argument, const char *what, const void *address) {
  char line[256];
  snprintf(line, sizeof line, "libmesh: %s 0x%lx\n", what, (unsigned long)address);
  Child child = child_run(body, argument);
  assert_string_equal(child.text, line);
  assert_int_equal(child.signal, SIGABRT);
}

void child_failed(const char *file, int line, const char *what) {
  char text[512];
  int n = snprintf(text, sizeof text, "%s:%d: %s\n", file, line, what);
  if (write(2, text, (size_t)n) < 0) _exit(2);
  _exit(1);
}
