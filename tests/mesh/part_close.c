/* close: the program closes every descriptor it knows nothing of, once, and meshing goes on.
   snatch: it does so again and again, while others work, and puts files of its own in their place. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "mallctl.h"
#include "sparse.h"
#include "stress.h"

enum { OBJECTS = 20000, SIZE = 256, OWN_FILES = 500 };

/* Meshes a sparse heap; how much of it. */
static size_t mesh_some(struct dice *dice) {
  struct sparse s = sparse_new(OBJECTS, SIZE, dice);
  for (size_t i = 0; i < s.count; i++) *(uint64_t *)s.object[i] = i;
  compact();
  size_t meshed = mallctl_figure("stats.meshed");
  for (size_t i = 0; i < s.count; i++)
    if (*(uint64_t *)s.object[i] != i) fail("object %zu at %p is wrong after closing all files", i, s.object[i]);
  sparse_free(&s);
  return meshed;
}

void close_part(struct worker *w) {
  size_t before = mesh_some(&w->dice);
  close_range(3, ~0u, 0);
  size_t after = mesh_some(&w->dice);
  if (after < before / 2) fail("%zu bytes meshed after closing all files, %zu before", after, before);
  int file = open("/dev/null", O_RDWR); /* takes what number it finds */
  must(file >= 0);
  after = mesh_some(&w->dice);
  if (after < before / 2) fail("%zu bytes meshed after opening a file, %zu before", after, before);
  if (write(file, "x", 1) != 1) fail("a file of the program's is closed: errno %d", errno);
  close(file);
  did_one(w);
}

/* The parts' own files have low numbers. */
void snatch_part(struct worker *w) {
  while (running()) {
    close_range(OWN_FILES, ~0u, 0);
    did_one(w);
    pause_up_to(&w->dice, 2000);
  }
}
