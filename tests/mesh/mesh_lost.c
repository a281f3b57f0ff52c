/* A program that closes descriptors past the wrappers, libmesh's among them, and whose heap grows before anybody
   notices; and one whose child of vfork redirects to the numbers of libmesh's. Every byte stays, and nothing waits.

   mesh_lost   Ends with 77 where nothing can be meshed. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../dice.h"
#include "../pattern.h"
#include "mallctl.h"

enum { OBJECTS = 60000, SIZE = 200, KEEP_ONE_IN = 8, SKIP = 77, FIRST_FD = 40, LAST_FD = 80, ROUNDS = 3 };

static void *object[ROUNDS][OBJECTS];
static struct dice dice = {1};

static void grow_and_thin_out(int round) {
  for (int i = 0; i < OBJECTS; i++) {
    object[round][i] = malloc(SIZE);
    pattern_fill(object[round][i], SIZE, i);
  }
  for (int i = 0; i < OBJECTS; i++) {
    if (dice_below(&dice, KEEP_ONE_IN) == 0) continue;
    free(object[round][i]);
    object[round][i] = NULL;
  }
}

static void verify(const char *when) {
  for (int r = 0; r < ROUNDS; r++) {
    for (int i = 0; i < OBJECTS; i++) {
      if (object[r][i] == NULL || pattern_mismatch(object[r][i], SIZE, i) == SIZE) continue;
      fprintf(stderr, "mesh_lost: %s: object %d of round %d was changed\n", when, i, r);
      exit(1);
    }
  }
}

static void redirect_in_vfork_child(void) {
  pid_t child = vfork();
  if (child == 0) {
    for (int fd = FIRST_FD; fd < LAST_FD; fd++) dup2(1, fd);
    execl("/bin/true", "true", (char *)NULL);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    fprintf(stderr, "mesh_lost: the child failed\n");
    exit(1);
  }
}

int main(void) {
  const struct timespec piece = {0, 20000000};
  grow_and_thin_out(0);
  for (int i = 0; i < 500 && mallctl_figure("stats.meshed") == 0; i++) nanosleep(&piece, NULL);
  if (mallctl_figure("stats.meshed") == 0) return SKIP;
  verify("after meshing");
  redirect_in_vfork_child();
  grow_and_thin_out(1);
  for (int i = 0; i < 20; i++) nanosleep(&piece, NULL);
  verify("after a child of vfork redirected");
  for (int fd = FIRST_FD; fd < LAST_FD; fd++) syscall(SYS_close, fd);
  grow_and_thin_out(2);
  for (int i = 0; i < 20; i++) nanosleep(&piece, NULL);
  verify("after the descriptors were closed");
  return 0;
}
