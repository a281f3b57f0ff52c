/* A server that meshed as root, and a worker of its that gives up its privileges: it meshes too, by another barrier if it
   may not have the same.

   mesh_drop   Ends with 77 where it is not root, or nothing can be meshed. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mallctl.h"
#include "sparse.h"

enum { OBJECTS = 4000, SIZE = 200, SKIP = 77, NOBODY = 65534 };

/* What is meshed then; 0 also if a byte is wrong. */
static size_t meshed_of_new_heap(void) {
  struct dice dice = {1};
  struct sparse heap = sparse_new(OBJECTS, SIZE, &dice);
  for (size_t i = 0; i < OBJECTS; i++) memset(heap.object[i], (int)i, SIZE);
  compact();
  size_t meshed = mallctl_figure("stats.meshed");
  for (size_t i = 0; i < OBJECTS; i++)
    for (size_t at = 0; at < SIZE; at++)
      if (((unsigned char *)heap.object[i])[at] != (unsigned char)i) meshed = 0;
  sparse_free(&heap);
  return meshed;
}

int main(void) {
  if (geteuid() != 0 || meshed_of_new_heap() == 0) {
    printf("mesh_drop: skipped: not root, or nothing meshes here\n");
    return SKIP;
  }
  int status;
  pid_t worker = fork();
  if (worker == 0) _exit(setgid(NOBODY) == 0 && setuid(NOBODY) == 0 ? meshed_of_new_heap() == 0 : SKIP);
  if (waitpid(worker, &status, 0) != worker || !WIFEXITED(status)) return 1;
  if (WEXITSTATUS(status) == 1) fprintf(stderr, "mesh_drop: the worker does not mesh\n");
  return WEXITSTATUS(status);
}
