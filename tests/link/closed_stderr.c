/* A program that closes stderr in an exit handler, as GNU's utilities do: closed_stderr [unasked]. By no call does it come
 * upon a descriptor that is not its own; nor is there one for statistics that nobody asked for. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NUMBERS = 256 };

static void fail(const char *what, int fd) {
  printf("%s: descriptor %d\n", what, fd);
  exit(1);
}

static void close_stderr(void) { fclose(stderr); }

static int link_is_there(int fd) {
  char path[40], target[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return readlink(path, target, sizeof target) > 0;
}

/* What this process inherited is not the library's. */
static void close_inherited(void) {
  for (int fd = 3; fd < NUMBERS; fd++) close(fd);
}

int main(int argc, char **argv) {
  (void)argv;
  close_inherited();
  for (int fd = 3; fd < NUMBERS; fd++) {
    if (argc > 1 && link_is_there(fd)) fail("open, though nothing is asked for", fd);
    if (fcntl(fd, F_GETFD) != -1) fail("the program sees", fd);
    if (dup(fd) != -1) fail("the program can duplicate", fd);
    if (close(fd) == 0) fail("the program can close", fd);
  }
  for (int fd = 3; fd < NUMBERS; fd++) {
    if (dup2(STDOUT_FILENO, fd) != fd) fail("the program cannot have", fd);
    if (close(fd) != 0) fail("the program cannot close its own", fd);
  }
  closefrom(3);
  free(malloc(100));
  return atexit(close_stderr);
}
