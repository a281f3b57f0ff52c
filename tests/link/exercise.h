/* A short tour through the allocator that needs nothing but the C library. */
#ifndef TESTS_LINK_EXERCISE_H
#define TESTS_LINK_EXERCISE_H

#include <stdbool.h>
#include <stdlib.h>

#include "../dice.h"
#include "../pattern.h"

static inline bool exercise(uint64_t seed) {
  enum { COUNT = 100 };
  void *objects[COUNT] = {NULL};
  size_t sizes[COUNT] = {0};
  struct dice dice = {seed};
  bool good = true;
  for (int i = 0; good && i < 5000; i++) {
    int slot = dice_below(&dice, COUNT);
    size_t old = sizes[slot];
    good = pattern_mismatch(objects[slot], old, slot) == old;
    sizes[slot] = dice_size(&dice, i % 500 ? 13 : 21);
    switch (dice_below(&dice, 3)) {
      case 0:
        free(objects[slot]);
        objects[slot] = malloc(sizes[slot]);
        break;
      case 1:
        free(objects[slot]);
        objects[slot] = aligned_alloc(64, sizes[slot]);
        good = good && (uintptr_t)objects[slot] % 64 == 0;
        break;
      case 2:
        objects[slot] = realloc(objects[slot], sizes[slot]);
        break;
    }
    good = good && objects[slot] != NULL;
    if (good) pattern_fill(objects[slot], sizes[slot], slot);
  }
  for (int slot = 0; slot < COUNT; slot++) {
    good = good && pattern_mismatch(objects[slot], sizes[slot], slot) == sizes[slot];
    free(objects[slot]);
  }
  return good;
}

#endif
