/* Allocation before main, after it, and across the two: what one phase allocates another frees. */
#include <stdio.h>
#include <unistd.h>

#include "exercise.h"

void *early_library_take(void);

static void *from_preinit, *from_constructor;

static void require(bool good, const char *phase) {
  if (good) return;
  dprintf(STDERR_FILENO, "allocation fails %s\n", phase);
  _exit(1);
}

static void *stamped_object(void) {
  void *object = malloc(1000);
  if (object) pattern_fill(object, 1000, 1);
  return object;
}

static bool take_back(void *object) {
  bool good = object && pattern_mismatch(object, 1000, 1) == 1000;
  free(object);
  return good;
}

/* Runs before any constructor, the allocator's own included. */
static void preinit(void) {
  require(exercise(1), "in preinit");
  from_preinit = stamped_object();
}

__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = preinit;

__attribute__((constructor)) static void constructor(void) {
  require(exercise(2), "in a constructor");
  require(take_back(from_preinit), "from preinit to constructor");
  from_constructor = stamped_object();
}

static void *for_destructor;

static void at_exit(void) { require(exercise(3), "in an exit handler"); }

__attribute__((destructor)) static void destructor(void) {
  require(exercise(4), "in a destructor");
  require(take_back(for_destructor), "from main to destructor");
}

int main(void) {
  require(take_back(from_constructor), "from constructor to main");
  require(take_back(early_library_take()), "from a library's constructor to main");
  atexit(at_exit);
  for_destructor = stamped_object();
  return exercise(5) ? 0 : 1;
}
