/* A library that the program needs is initialised before a preloaded one, and finished after it. */
#include <unistd.h>

#include "exercise.h"

void *early_library_take(void);

static void *object;

__attribute__((constructor)) static void constructor(void) {
  if (!exercise(6) || (object = malloc(1000)) == NULL) _exit(1);
  pattern_fill(object, 1000, 1);
}

__attribute__((destructor)) static void destructor(void) {
  if (!exercise(7)) _exit(1);
}

void *early_library_take(void) { return object; }
